"""From shards to trained, evaluated and reported models; `python -m trainer --help` lists the commands.

From Python (`trainer/PYTHON.md`): `load_run`, `TaskModel`, `RobustTraining`, imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.predict.load import load_run
    from trainer.predict.model import Prediction, TaskModel
    from trainer.predict.perturbation import Turn
    from trainer.robust_training import RobustTraining

_PLACES = {
    "load_run": "trainer.predict.load", "TaskModel": "trainer.predict.model", "Prediction": "trainer.predict.model",
    "Turn": "trainer.predict.perturbation", "RobustTraining": "trainer.robust_training"}

__all__ = ["Prediction", "RobustTraining", "TaskModel", "Turn", "load_run"]


def __getattr__(name: str) -> Any:
    """Import the module of a public name at its first use: commands must start without torch."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
