"""The commands of `python -m data_prep`, one line each."""

from __future__ import annotations

from data_prep.augment import augment
from data_prep.build import build
from data_prep.cli import Command
from data_prep.listing import tasks
from data_prep.tokenizer import tokenizer
from data_prep.verify import peek, verify

COMMANDS: dict[str, Command] = {
    "tasks": tasks,
    "tokenizer": tokenizer,
    "build": build,
    "augment": augment,
    "verify": verify,
    "peek": peek,
}
