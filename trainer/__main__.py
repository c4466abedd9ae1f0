"""`python -m trainer COMMAND`: the Fire table of the trainer. `python -m trainer --help` lists the commands."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from data_prep.base import interrupt

if __name__ == "__main__":
    interrupt.listen()

from data_prep.base import cli
from trainer.commands import COMMANDS, KEPT
from trainer.distributed.preemption import STOP_SIGNALS, LostRank, exit_at_once, ignore_signals
from trainer.runs.log import log_to_terminal


def main(argv: list[str]) -> int:
    """Run one command; returns the exit code. Launchers' own `--local_rank` is taken out first."""
    log_to_terminal()
    try:
        return cli.main(COMMANDS, take_local_rank(argv), "python -m trainer", KEPT)
    except LostRank as error:
        exit_at_once(error)


def take_local_rank(argv: list[str]) -> list[str]:
    """`argv` without a launcher's local rank, in any of its spellings; it goes where torchrun puts it."""
    kept: list[str] = []
    words = iter(argv)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag in ("--local_rank", "--local-rank"):
            os.environ.setdefault("LOCAL_RANK", value if equals else next(words, ""))
        else:
            kept.append(word)
    return kept


def run() -> NoReturn:
    """The whole process. A signal must kill a run neither while it starts nor while it leaves."""
    training = take_local_rank(sys.argv[1:])[:1] == ["train"]
    if training:
        STOP_SIGNALS.__enter__()
    code = main(sys.argv[1:])
    if training:
        ignore_signals()
    sys.exit(code)


if __name__ == "__main__":
    run()
