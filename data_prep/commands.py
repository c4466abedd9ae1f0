"""The commands of `python -m data_prep`, one line each."""

from __future__ import annotations

from data_prep.augment import augment
from data_prep.build import build
from data_prep.cli import Command
from data_prep.listing import tasks
from data_prep.tokenizer import NOTHING_WRITTEN, tokenizer
from data_prep.verify import peek, verify

COMMANDS: dict[str, Command] = {
    "tasks": tasks,
    "tokenizer": tokenizer,
    "build": build,
    "augment": augment,
    "verify": verify,
    "peek": peek,
}

# What a command that is interrupted leaves, and what to do.
_CELLS = "finished cells are kept; the same command goes on with the others"
KEPT = {
    "build": _CELLS,
    "augment": _CELLS,
    "tokenizer": NOTHING_WRITTEN,
    "verify": "nothing was changed",
    "peek": "nothing was changed",
    "tasks": "nothing was changed",
}
