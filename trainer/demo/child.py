"""A command of the demo, as a process that ends when the demo ends, however that ends.

Left alone, it would go on and hold its output's lock while the demo, started again, asks for it.
Command: ``python -m trainer.demo.child PROCESS MODULE WORDS...``: ``python -m MODULE WORDS...`` as a child of PROCESS.
"""

from __future__ import annotations

import runpy
import sys

from data_prep.workers import end_with

if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    module, sys.argv[1:] = sys.argv[2], sys.argv[3:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
