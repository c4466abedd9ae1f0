"""Child process for one command of the demo; it ends when the demo's process does, even if that is killed.

Otherwise it would go on and hold the lock on its output against a restarted demo.
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
