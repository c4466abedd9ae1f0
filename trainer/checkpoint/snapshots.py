"""Snapshots of a run, `<run>/snapshots/step-00001000/`: its weights at the last evaluation points, to be averaged.

Each is a transformers folder like `best/` without the tokenizer, in fp32 and whole at every ZeRO stage, written under
a temporary name and renamed. A resumed run takes those after its checkpoint again, so that it ends with the same set.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from trainer.checkpoint.layout import PREFIX, checkpoint_name, step_of
from trainer.config.schema import Recipe
from trainer.runs.folder import SNAPSHOTS
from trainer.runs.identity import evaluated_steps, evaluation_interval


class Snapshots:
    """The snapshots that a run takes while it trains."""

    def __init__(self, run_dir: Path, recipe: Recipe, max_steps: int, done: int, write: Callable[[Path], None],
                 is_main: bool) -> None:
        """done: steps behind the checkpoint that training goes on from; later snapshots of an earlier life are removed.
        write: writes the model as it is to a folder, replaced only once the new one is whole; all ranks call it.
        """
        self._run_dir, self._keep, self._write, self._is_main = run_dir, recipe.checkpoint.snapshots, write, is_main
        steps = evaluated_steps(evaluation_interval(recipe, max_steps), max_steps, max_steps)
        # With early stopping, any evaluation may turn out to be the last one.
        self._first = steps[-self._keep:][0] if recipe.evaluation.patience_evaluations is None else 0
        if is_main and self._keep:
            for left in (run_dir / SNAPSHOTS).glob(f".{PREFIX}*"):
                shutil.rmtree(left, ignore_errors=True)
            for folder in snapshots_of(run_dir):
                if step_of(folder) > done:
                    shutil.rmtree(folder)

    def save(self, step: int) -> None:
        """Take a snapshot after the evaluation at `step` if it is one of the last, and remove what is too old."""
        if not self._keep or step < self._first:
            return
        folder = self._run_dir / SNAPSHOTS / checkpoint_name(step)
        if self._is_main:
            folder.parent.mkdir(exist_ok=True)
        self._write(folder)
        if self._is_main:
            for old in snapshots_of(self._run_dir)[:-self._keep]:
                shutil.rmtree(old)


def snapshots_of(run_dir: Path) -> list[Path]:
    """The whole snapshots of a run, oldest first."""
    found = (run_dir / SNAPSHOTS).glob(f"{PREFIX}*")
    return sorted((path for path in found if path.name.removeprefix(PREFIX).isdigit()), key=step_of)
