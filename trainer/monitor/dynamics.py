"""Training dynamics of a run (`logging.dynamics`): the probability of every training example's gold label, per epoch.

Measured by a pass over the training cells at the end of each epoch, without dropout, not from the logits of training
steps as by Swayamdipta et al. 2020 (arXiv 2009.10795): those see each example at another moment, and perturbed or
mixed where the method has no clean pass. So every example is judged by the same weights, whatever the method and the
sampling, and the numbers follow from the step alone: a resumed run writes the same file. An epoch is as many examples
as the training cells have rows. It costs a forward pass, a third of a plain epoch.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import numpy as np

from data_prep.base.errors import InputError
from data_prep.base.files import write_text
from data_prep.shards.columns import number_values
from trainer.config.schema import Recipe
from trainer.data.loader import Examples, TrainingData
from trainer.data.sampler import steps_per_epoch
from trainer.data.tasks import cell_name
from trainer.distributed.collectives import gather_objects
from trainer.engine.engine import Engine
from trainer.evaluate.certainty import gold_counts
from trainer.evaluate.predict import measure
from trainer.kinds import KINDS
from trainer.results import dynamics as files

FEWEST_EPOCHS = 2  # one gives no variability
MAP_FILE = "data_map.svg"
_log = logging.getLogger(__name__)


def check_dynamics(recipe: Recipe, data: TrainingData, max_steps: int) -> None:
    """Raise InputError where `logging.dynamics` asks for what the run will not give."""
    if not recipe.logging.dynamics:
        return
    for cell in data.train:
        if KINDS[cell.manifest.kind].classes is None:
            fit = ", ".join(name for name, kind in KINDS.items() if kind.classes is not None)
            raise InputError(f"logging.dynamics records probabilities of gold labels, and {cell.path} is of kind "
                             f"{cell.manifest.kind}; kinds that have them: {fit}")
    if max_steps < FEWEST_EPOCHS * (steps := _steps_per_epoch(recipe, data)):
        raise InputError(f"logging.dynamics: {max_steps} steps are {max_steps / steps:.2g} epochs, and variability over"
                         f" epochs needs {FEWEST_EPOCHS} or more; set schedule.epochs, or leave it out")


def _steps_per_epoch(recipe: Recipe, data: TrainingData) -> int:
    return steps_per_epoch(sum(len(cell) for cell in data.train), recipe.batch.size)


class Dynamics:
    """Records the training dynamics of one run; does nothing unless the recipe asks for them."""

    def __init__(self, engine: Engine, recipe: Recipe, data: TrainingData, folder: Path, step: int) -> None:
        """step: steps done before, of a resumed run."""
        self._engine, self._folder, self._active = engine, folder, recipe.logging.dynamics
        self._batch_size = recipe.evaluation.batch_size
        self._steps = _steps_per_epoch(recipe, data)
        self._cells = [Examples([cell], data.max_length, task=data.name_in_batches(task))
                       for task, cells in data.tasks.items() for cell in cells] if self._active else []
        if self._active and engine.ranks.is_main and (missing := step // self._steps - len(self._epochs(step))):
            _log.warning("logging.dynamics: %d of the %d epochs so far were trained without it; the summary is of the "
                         "others", missing, step // self._steps)

    def after_step(self, step: int) -> None:
        """Measure and keep the epoch that ends with `step`, if one does; every rank must call it."""
        if not self._active or step % self._steps:
            return
        found = [self._measured(examples) for examples in self._cells]
        if self._engine.ranks.is_main:
            names = ("cell", "id", "probability", "correct")
            columns = (np.concatenate(column) for column in zip(*found, strict=True))
            files.write_epoch(self._folder, step // self._steps, dict(zip(names, columns, strict=True)))

    def finish(self, step: int) -> None:
        """Write the summary of all epochs and its data map; the main rank calls it after the last step."""
        if not (epochs := self._epochs(step) if self._active else []):
            return
        from trainer.plots.data_map import data_map
        from trainer.plots.events import EventFile
        from trainer.plots.style import to_svg

        found = files.write_summary(self._folder, epochs)
        figure = data_map(found["confidence"], found["variability"], found["correctness"])
        write_text(self._folder / MAP_FILE, to_svg(figure, "data map"))
        with EventFile(self._folder / "tensorboard", suffix=".dynamics") as board:
            board.figure("dynamics/data_map", figure, step)
        _log.info("%s: %d examples over %d epochs; data map: %s", self._folder / files.FILE, len(found["id"]),
                  len(epochs), self._folder / MAP_FILE)

    def _epochs(self, step: int) -> list[int]:
        """Epochs of the first `step` steps that are kept."""
        return [epoch for epoch in range(1, step // self._steps + 1)
                if files.epoch_file(self._folder, epoch).is_file()]

    def _measured(self, examples: Examples) -> tuple[np.ndarray, ...]:
        """Columns of one cell, a row per example by ascending id; windows of one example count as one."""
        engine, cell = self._engine, examples.cells[0]
        gather = partial(gather_objects, ranks=engine.ranks)
        kind = examples.kind
        (counts,) = measure(
            engine.module, examples, self._batch_size, engine.device, engine.ranks,
            lambda logits, _, cpu_batch: (gold_counts(kind, logits, cpu_batch),), gather)
        ids, example = np.unique(number_values(cell.table["id"]), return_inverse=True)
        of_gold, right, predictions = (np.bincount(example, column) for column in counts.T)
        return np.full(len(ids), cell_name(cell.path), dtype=object), ids, of_gold / predictions, right / predictions
