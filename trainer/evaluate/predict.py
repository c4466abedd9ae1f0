"""Runs a model over a cell: one predicted class (or likelihood) per row, shared out over the ranks.

Inputs: a SiteModel, `Examples`. Outputs: arrays in row order, and the metric.
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
    """What a model says about the rows of a cell; arrays of shape (N,), in row order."""

    predicted: np.ndarray  # class index; for mlm all -1
    gold: np.ndarray  # class index, -1 where there is no label
    score: np.ndarray  # 1.0 right / 0.0 wrong, or the summed log-likelihood in nats (mlm)
    weight: np.ndarray  # predictions behind each score: 1, or the number of masked tokens

    def counts(self, name: str) -> Floats:
        """(N, S) counts of the metric `name`; raises ValueError where rows have no label."""
        given = (-self.score, self.weight) if name == "perplexity" else (self.predicted, self.gold)
        return METRICS[name].counts(*given)

    def metric(self, name: str) -> float:
        """Value of the metric `name`; raises ValueError where rows have no label."""
        return METRICS[name].score(self.counts(name))


@torch.no_grad()
def predict(
    model: SiteModel, examples: Examples, batch_size: int, device: torch.device, ranks: Ranks,
    gather: Callable[[Any], list[Any]] = lambda value: [value],
) -> Predictions:
    """The predictions of `model`, in evaluation mode, on all rows; every rank must call it and gets all of them.

    gather: collects one object per rank (a process group's all-gather); the identity for one process.
    """
    was_training = model.training
    model.eval()
    found: list[tuple[np.ndarray, ...]] = []
    for rows, cpu_batch in evaluation_batches(examples, batch_size, ranks.rank, ranks.world_size):
        batch = cpu_batch.to(device)
        logits = model(batch)
        if not len(rows):
            continue
        if batch.labels.dim() == 1:
            predicted = logits.argmax(dim=-1).cpu().numpy()
            gold, weight = cpu_batch.labels.numpy(), np.ones(len(rows))
            score = (predicted == gold).astype(np.float64)
        else:
            predicted = gold = np.full(len(rows), -1)
            weight = (cpu_batch.labels >= 0).sum(dim=1).numpy().astype(np.float64)
            score = -model.head.losses(logits, batch).double().cpu().numpy()
        found.append((rows, predicted, gold, score, weight))
    model.train(was_training)
    parts = [part for of_rank in gather(found) for part in of_rank]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[0])
    return Predictions(*(column[order] for column in columns[1:]))
