"""Predict all rows of a cell with a model, shared out over the ranks.

Inputs: a SiteModel, `Examples`. Outputs: predictions and gold labels in row order, and their metrics; or whatever else
is measured of the logits of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.data.loader import Examples, evaluation_batches
from trainer.distributed.ranks import Ranks
from trainer.kinds.batch import Batch
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


def predict(
    model: SiteModel, examples: Examples, batch_size: int, device: torch.device, ranks: Ranks,
    gather: Callable[[Any], list[Any]] = lambda value: [value], tick: Callable[[int], None] = lambda rows: None,
) -> Predictions:
    """Predictions of `model`, in evaluation mode, on all examples. Collective: every rank must call it and gets all.

    gather: collects one object per rank (a process group's all-gather); the identity for one process. tick: called
    with the number of rows that all ranks have predicted since.
    """
    kind = examples.kind
    return _as_scored(examples, *measure(
        model, examples, batch_size, device, ranks,
        lambda logits, batch, cpu_batch: (kind.decode(logits, batch), kind.gold(cpu_batch)), gather, tick))


Part = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Row indices of a batch, their predictions, and their gold labels."""


@torch.no_grad()
def predict_batch(model: SiteModel, examples: Examples, rows: np.ndarray, device: torch.device) -> Part:
    """Predictions of `model`, which is in evaluation mode, on some rows."""
    cpu_batch = examples[0, rows]
    batch = cpu_batch.to(device)
    return rows, examples.kind.decode(model(batch), batch), examples.kind.gold(cpu_batch)


def put_together(examples: Examples, parts: Iterable[Part]) -> Predictions:
    """The predictions on all examples from those on batches, in any order."""
    return _as_scored(examples, *_in_row_order(parts))


def _as_scored(examples: Examples, predicted: np.ndarray, gold: np.ndarray) -> Predictions:
    """Predictions of rows as metrics take them: windows joined, names for indices."""
    kind = examples.kind
    if kind.join is not None:
        predicted, gold = kind.join(predicted, gold, examples.cells[0].table)
    if kind.spell is not None:
        labels = examples.cells[0].manifest.labels
        predicted, gold = kind.spell(predicted, labels), kind.spell(gold, labels)
    return Predictions(predicted, gold)


def _in_row_order(parts: Iterable[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    """Columns of all parts, of which the first holds row indices, in the order of these."""
    rows, *columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(rows)
    return tuple(column[order] for column in columns)


@torch.no_grad()
def measure(
    model: SiteModel, examples: Examples, batch_size: int, device: torch.device, ranks: Ranks,
    of_batch: Callable[[Tensor, Batch, Batch], tuple[np.ndarray, ...]],
    gather: Callable[[Any], list[Any]] = lambda value: [value], tick: Callable[[int], None] = lambda rows: None,
) -> tuple[np.ndarray, ...]:
    """Columns (rows, ...) of what `of_batch` makes of the logits of each batch, in row order; collective as `predict`.

    of_batch: (logits, batch, the same batch on the CPU) -> columns, an entry per row of the cell in the batch.
    """
    was_training = model.training
    model.eval()
    found: list[tuple[np.ndarray, ...]] = []
    for rows, cpu_batch in evaluation_batches(examples, batch_size, ranks.rank, ranks.world_size):
        batch = cpu_batch.to(device)
        logits = model(batch)
        if len(rows):
            found.append((rows, *of_batch(logits, batch, cpu_batch)))
        tick(len(rows) * ranks.world_size)
    model.train(was_training)
    return _in_row_order(part for of_rank in gather(found) for part in of_rank)
