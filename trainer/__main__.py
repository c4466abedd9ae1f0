"""`python -m trainer COMMAND`: the Fire table of the trainer. `python -m trainer --help` lists the commands."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext

from data_prep import cli
from trainer.endings import REQUESTS, LostRank, leave_at_once


def main(argv: list[str]) -> int:
    """Run one command; returns the exit code. Launchers' own `--local_rank` is taken out first."""
    words = take_local_rank(argv)
    # A signal must not kill a training run that is about to start.
    with REQUESTS if words[:1] == ["train"] else nullcontext():
        # Imported here, not above: `--help` and a mistyped command should not wait for torch.
        from transformers.utils import logging

        from trainer.commands import COMMANDS

        logging.disable_progress_bar()  # bars for loading and saving tear the lines of training apart
        try:
            return cli.main(COMMANDS, words, "python -m trainer")
        except LostRank as error:
            leave_at_once(error)


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
