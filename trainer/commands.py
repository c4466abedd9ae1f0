"""The commands of `python -m trainer`, one line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trainer.checkpoint.export import export
from trainer.evaluate.run import evaluate
from trainer.report import report
from trainer.train import train

COMMANDS: dict[str, Callable[..., Any]] = {
    "train": train,
    "evaluate": evaluate,
    "report": report,
    "export": export,
}
