"""Asynchronous all-reduce of a step's loss and the stop flag, overlapped with the next step.

The flag says whether a signal asked any rank to stop (`trainer/distributed/preemption.py`): all ranks learn of it at
the same step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.distributed.collectives import all_reduce_sum_async, gather_objects
from trainer.distributed.preemption import STOP_SIGNALS
from trainer.distributed.ranks import Ranks
from trainer.kinds.batch import PARTS


@dataclass
class StepResult:
    """The outcome of one step on this rank."""

    losses: list[tuple[Tensor | float, Tensor | float]]
    """(sum, weight) of the loss of each micro-batch."""
    example_ids: list[Tensor]
    """Of each micro-batch."""
    learning_rate: float
    """That the step used."""
    applied: bool
    """False where NaN or Inf made the engine skip the update of the weights."""
    tasks: str = ""
    """Names of the tasks of a mixture that took part, sorted: losses of steps are compared among the same ones."""


class StepReduction:
    """The all-reduce of one step, started when this is built; every rank must build one after every step."""

    def __init__(self, step: int, result: StepResult, ranks: Ranks, device: torch.device) -> None:
        self.step, self.applied, self.tasks = step, result.applied, result.tasks
        self._example_ids, self._ranks = result.example_ids, ranks
        flat = [torch.as_tensor(value, device=device).double() for pair in result.losses for value in pair]
        stop = torch.tensor(float(STOP_SIGNALS.received is not None), dtype=torch.float64, device=device)
        self._wait = all_reduce_sum_async(torch.stack([*flat, stop]), ranks)

    def wait(self) -> tuple[float, bool]:
        """(mean loss over the global batch, whether a signal asked any rank to stop)."""
        *sums, stops = self._wait().tolist()
        return sum(sums[::2]) / max(1.0, sum(sums[1::2])), stops > 0

    def example_ids(self) -> list[list[int]]:
        """Ids of the global batch, by rank, one for all inputs of a row; every rank must call it."""
        ids = dict.fromkeys(int(i) & ~PARTS for ids in self._example_ids for i in ids.tolist())
        return gather_objects(list(ids), self._ranks)
