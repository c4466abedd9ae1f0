"""Mixture of tasks: the share of each, the counter-based draw of tasks, and the order of micro-batches.

The global batch of a step is cut into `mixture.tasks_per_step` parts of equal size, each of one task:

    task of (step, part) = inverse distribution function of the shares at u(seed, step, part)      u: Philox, see there

so that it is the same on every rank, and after a resume. A task has its own epochs (see `sampler`), and its position in
them is the number of parts that it was drawn for before, which is counted, not saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from data_prep.base.errors import InputError
from trainer.config.schema import BatchSection, DataSection, MixtureSection
from trainer.data import sampler
from trainer.data.loader import Examples, TrainingData, load, training_batches
from trainer.data.tasks import Tasks, nearest
from trainer.kernels import philox
from trainer.kinds.batch import Batch

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
BLOCK = 1 << 18  # steps drawn at once


@dataclass(frozen=True)
class Mixture:
    """The draw of tasks in a run."""

    tasks: tuple[str, ...]
    """Names, in the order of `data.train`."""
    shares: Floats
    """Probability of each."""
    parts: int
    """Of a step."""
    seed: int

    def draw(self, first: int, last: int) -> Ints:
        """(steps, parts) numbers of the tasks of steps `first` to `last` - 1."""
        step = torch.arange(first, last, dtype=torch.int64).unsqueeze(1)
        zero, stream = torch.tensor([0]), torch.tensor([philox.STREAM_TASKS])
        word, *_ = philox.philox_4x32((torch.arange(self.parts), zero, step, stream), self.seed)
        bounds = np.cumsum(self.shares)[:-1]  # the last is 1 but for rounding
        return np.searchsorted(bounds, (word.numpy() + 0.5) / 2**32, side="right").astype(np.int64)

    def drawn(self, step: int) -> Ints:
        """Number of parts that each task was drawn for before `step`; a million steps take a quarter of a second."""
        counts = np.zeros(len(self.tasks), dtype=np.int64)
        for first in range(0, step, BLOCK):
            drawn = self.draw(first, min(step, first + BLOCK))
            counts += np.bincount(drawn.ravel(), minlength=len(self.tasks))
        return counts

    def describe(self, data: TrainingData, section: MixtureSection) -> dict[str, dict[str, Any]]:
        """Each task for the run's record."""
        return {task: {"kind": manifest.kind, "labels": manifest.labels, "metric": manifest.metric,
                       "metrics": manifest.metrics, "rows": sum(map(len, data.tasks[task])), "share": float(share),
                       "loss_weight": section.loss_weights.get(task, 1.0)}
                for (task, manifest), share in zip(data.manifests.items(), self.shares, strict=True)}


def shares(section: MixtureSection, rows: Mapping[str, int]) -> Floats:
    """Probability of each task. rows: of the training cells, by task."""
    n = np.array(list(rows.values()), dtype=np.float64)
    if section.cap is not None:
        n = np.minimum(n, section.cap)
    if section.sampling == "uniform":
        n = np.ones_like(n)
    elif section.sampling == "weights":
        n = np.array([section.weights[task] for task in rows])
    elif section.temperature is not None:
        n = (n / n.max()) ** (1 / section.temperature)
    found: Floats = n / n.sum()
    return found


def mixture_of(section: MixtureSection, batch: BatchSection, tasks: Tasks, seed: int) -> Mixture | None:
    """The mixture of a run; None where it has one task. Raises InputError for settings that have no effect on these
    tasks or do not fit them."""
    if len(tasks) == 1:
        default = MixtureSection()
        idle = [name for name in MixtureSection.model_fields
                if name != "same_task" and getattr(section, name) != getattr(default, name)]
        if idle:
            raise InputError(f"mixture.{idle[0]} is for several tasks, data.train has cells of one, "
                             f"{next(iter(tasks))}; remove it, or add cells of another task")
        return None
    for key in ("weights", "loss_weights"):
        for name in getattr(section, key):
            if name not in tasks:
                raise InputError(f"mixture.{key}: no training cell of task {name!r}; {nearest(name, tasks)}")
    if section.sampling == "weights" and (left := [task for task in tasks if task not in section.weights]):
        raise InputError(f"mixture.weights: none for task {left[0]}; give one for each of {', '.join(tasks)}")
    if batch.size % section.tasks_per_step:
        raise InputError(f"mixture.tasks_per_step {section.tasks_per_step} does not divide batch.size {batch.size}; "
                         "choose a batch size that is a multiple of it")
    rows, part = {name: sum(map(len, cells)) for name, cells in tasks.items()}, batch.size // section.tasks_per_step
    if small := [name for name in rows if rows[name] < part]:
        raise InputError(f"the training cells of task {small[0]} hold {rows[small[0]]} rows, fewer than a part of a "
                         f"step ({part} of batch.size {batch.size}); lower batch.size, or raise mixture.tasks_per_step")
    return Mixture(tuple(tasks), shares(section, rows), section.tasks_per_step, seed)


class _TaskExamples(Dataset[Batch]):
    """Examples of all tasks under one index; item (number of the task, item of its examples) is a batch."""

    def __init__(self, examples: Sequence[Examples]) -> None:
        self._examples = examples

    def __getitem__(self, item: tuple[int, sampler.Item]) -> Batch:
        return self._examples[item[0]][item[1]]


def batches_of(
    examples: Mapping[str, Examples], mixture: Mixture | None, section: DataSection, batch_size: int, seed: int,
    first_step: int, steps: int, rank: int, world_size: int, accumulation: int,
    choices: Mapping[str, sampler.Choice],
) -> Iterator[list[Batch]]:
    """This rank's micro-batches of each step from `first_step` on, by part in a mixture.

    examples: by task. choices: by task, of mixup partners; empty without.
    """
    if mixture is None:
        (only,) = examples.items()
        return training_batches(only[1], section, batch_size, seed, first_step, steps, rank, world_size, accumulation,
                                choices.get(only[0]))
    order = micro_batches(
        mixture, [one.lengths for one in examples.values()], batch_size // mixture.parts, section.bucket_by_length,
        first_step, steps, rank, world_size, accumulation // mixture.parts,
        [choices.get(task) for task in mixture.tasks])
    return load(_TaskExamples(list(examples.values())), order, section, steps - first_step, accumulation)


def micro_batches(
    mixture: Mixture, lengths: Sequence[np.ndarray], size: int, bucket_by_length: bool, first_step: int, steps: int,
    rank: int, world_size: int, accumulation: int, choices: Sequence[sampler.Choice | None],
) -> Iterator[tuple[int, sampler.Item]]:
    """(task, item of its examples) of this rank's micro-batches, in order, for steps first_step .. steps - 1.

    lengths, choices: by task. size: examples of a part; accumulation: micro-batches of a part and rank. A part is cut
    as `sampler.micro_batches` cuts a global batch.
    """
    per_epoch = [sampler.steps_per_epoch(len(of_task), size) for of_task in lengths]
    position = mixture.drawn(first_step)
    epochs: list[tuple[int, np.ndarray]] = [(-1, np.empty(0))] * len(lengths)
    for start in range(first_step, steps, BLOCK):
        for number, tasks in enumerate(mixture.draw(start, min(steps, start + BLOCK)).tolist(), start):
            for part, task in enumerate(tasks):
                epoch, place = divmod(int(position[task]), per_epoch[task])
                position[task] += 1
                if epochs[task][0] != epoch:
                    epochs[task] = epoch, sampler.epoch_batches(
                        lengths[task], size, mixture.seed, epoch, bucket_by_length)
                batch = epochs[task][1][place]
                for item in sampler.cut(epoch, batch, number * mixture.parts + part, rank, world_size, accumulation,
                                        choices[task]):
                    yield task, item
