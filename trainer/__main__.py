"""`python -m trainer COMMAND`: the Fire table of the trainer. `python -m trainer --help` lists the commands."""

from __future__ import annotations

import os
import sys

from data_prep import cli


def main(argv: list[str]) -> int:
    """Run one command; returns the exit code. Launchers' own `--local_rank` is taken out first."""
    # Imported here, not above: `--help` and a mistyped command should not wait for torch.
    from transformers.utils import logging

    from trainer.commands import COMMANDS

    logging.disable_progress_bar()  # bars for loading and saving tear the lines of training apart
    return cli.main(COMMANDS, take_local_rank(argv), "python -m trainer")


def take_local_rank(argv: list[str]) -> list[str]:
    """`argv` without the `--local_rank=N` that the deepspeed launcher adds; it goes where torchrun puts it."""
    kept = []
    for word in argv:
        if word.startswith("--local_rank="):
            os.environ.setdefault("LOCAL_RANK", word.partition("=")[2])
        else:
            kept.append(word)
    return kept


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
