"""Process of one node: its command, and the record of how it ended.

Command: ``python -m trainer.studies.node OUT NAME [PARENT]``. With PARENT, the process ends when that process does,
even if it is killed: otherwise it would go on, and hold the lock on its output against a restarted study. Under a
launcher every rank runs the command, and rank 0 writes the record.
"""

from __future__ import annotations

import os
import runpy
import socket
import sys
import time
from pathlib import Path

from data_prep.base.cli import EXIT_BAD_INPUT
from data_prep.base.errors import InputError
from data_prep.workers import end_with
from trainer.distributed.preemption import EXIT_LOST_RANK, EXIT_REQUEUE, EXIT_STOPPED
from trainer.studies.graph import Node
from trainer.studies.states import Ending, State, read_graph, write_ending

RANKS = ("RANK", "SLURM_PROCID")


def run_node(out: Path, node: Node) -> int:
    """Run the command of `node` in this process, write its record, and return its exit code.

    No record is written of a command that a signal stopped, or that lost a rank: it goes on next time.
    """
    started, begun = time.strftime("%Y-%m-%dT%H:%M:%S%z"), time.monotonic()
    whole = node.kind != "train" or not _begun(out / node.output)
    sys.argv[1:] = node.words[1:]
    try:
        runpy.run_module(node.words[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    ended = code not in (EXIT_REQUEUE, EXIT_LOST_RANK) and code < 128
    if ended and all(os.environ.get(name, "0") == "0" for name in RANKS):
        state: State = "done" if code == 0 else "collapsed" if code == EXIT_STOPPED else "failed"
        write_ending(out, node, Ending(
            digest=node.digest, state=state, code=code, seconds=round(time.monotonic() - begun, 3), started=started,
            host=socket.gethostname(), output=node.output, whole=whole))
    return code


def _begun(run: Path) -> bool:
    from trainer.runs.folder import CONFIG  # here: data preparation does without the imports of a recipe

    return (run / CONFIG).exists()


if __name__ == "__main__":
    if len(sys.argv) > 3:
        end_with(int(sys.argv[3]))
    folder, name = Path(sys.argv[1]), sys.argv[2]
    try:
        found = read_graph(folder).nodes[name]
    except (InputError, KeyError) as error:
        print(f"error: {error if isinstance(error, InputError) else f'{folder} has no node {name} any more'}",
              file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    sys.exit(run_node(folder, found))
