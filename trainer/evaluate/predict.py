"""Predict all rows of a cell with a model, shared out over the ranks.

Inputs: a SiteModel, `Examples`. Outputs: predictions and gold labels in row order, and their metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trainer.data.loader import Examples, evaluation_batches
from trainer.distributed.ranks import Ranks
from trainer.metrics import METRICS
from trainer.metrics.metric import Floats
from trainer.model.site import SiteModel


@dataclass(frozen=True)
class Predictions:
    """Predictions on the N examples of a cell beside their gold labels, as the kind of task decodes them; in row order.
    """

    predicted: np.ndarray
    gold: np.ndarray

    def counts(self, name: str) -> Floats:
        """(N, S) counts of the metric `name`; raises ValueError where rows have no label."""
        return METRICS[name].counts(self.predicted, self.gold)

    def metric(self, name: str) -> float:
        """Value of the metric `name`; raises ValueError where rows have no label."""
        return METRICS[name].score(self.counts(name))


@torch.no_grad()
def predict(
    model: SiteModel, examples: Examples, batch_size: int, device: torch.device, ranks: Ranks,
    gather: Callable[[Any], list[Any]] = lambda value: [value],
) -> Predictions:
    """Predictions of `model`, in evaluation mode, on all examples. Collective: every rank must call it and gets all.

    gather: collects one object per rank (a process group's all-gather); the identity for one process.
    """
    was_training = model.training
    model.eval()
    found: list[tuple[np.ndarray, ...]] = []
    for rows, cpu_batch in evaluation_batches(examples, batch_size, ranks.rank, ranks.world_size):
        batch = cpu_batch.to(device)
        logits = model(batch)
        if len(rows):
            found.append((rows, model.kind.decode(logits, batch), model.kind.gold(cpu_batch)))
    model.train(was_training)
    parts = [part for of_rank in gather(found) for part in of_rank]
    rows, predicted, gold = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(rows)
    predicted, gold = predicted[order], gold[order]
    if model.kind.join is not None:
        predicted, gold = model.kind.join(predicted, gold, examples.cells[0].table)
    if model.kind.spell is not None:
        labels = examples.cells[0].manifest.labels
        predicted, gold = model.kind.spell(predicted, labels), model.kind.spell(gold, labels)
    return Predictions(predicted, gold)
