"""Runs the graph of a study's folder: `python -m tests.trainer.studies.runner OUT`, to be killed by tests."""

from __future__ import annotations

import sys
from pathlib import Path

from trainer.studies.local import Room, run_nodes
from trainer.studies.states import read_graph

if __name__ == "__main__":
    out = Path(sys.argv[1])
    run_nodes(lambda failed: read_graph(out), out, Room(2, 1))
