"""Probabilities of a model's class predictions, row by row of a cell: of the gold label, and of its own choice.

Inputs: logits of a batch, as `trainer.evaluate.predict.measure` passes them on. Outputs: numpy columns, float64.
Shapes: R rows of the batch, P predictions, C classes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from trainer.kinds.batch import Batch
from trainer.kinds.divergence import at_least_fp32
from trainer.kinds.kind import Classes, Kind
from trainer.metrics.metric import Floats


def gold_counts(kind: Kind, logits: Tensor, cpu_batch: Batch) -> Floats:
    """(R, 3) per row: probabilities of its gold labels summed, right predictions, predictions with a gold label."""
    found, probabilities_PC = _probabilities(kind, logits, cpu_batch)
    labelled = (found.gold >= 0).double()
    of_gold = probabilities_PC.gather(1, found.gold.clamp(min=0).unsqueeze(1)).squeeze(1) * labelled
    right = (probabilities_PC.argmax(dim=1) == found.gold).double()
    rows = found.rows.numpy()
    return np.stack([np.bincount(rows, values.numpy()) for values in (of_gold, right, labelled)], axis=1)


def least_confidence(kind: Kind, logits: Tensor, cpu_batch: Batch) -> Floats:
    """(R,) probability of the predicted class; of a row of several predictions, that of the least certain one."""
    found, probabilities_PC = _probabilities(kind, logits, cpu_batch)
    rows = found.rows.numpy()
    least = np.ones(int(rows.max()) + 1)
    np.minimum.at(least, rows, probabilities_PC.max(dim=1).values.numpy())
    return least


def class_probabilities(kind: Kind, logits: Tensor, cpu_batch: Batch) -> np.ndarray:
    """(R,) arrays (predictions, C) of each row: the probabilities of all classes, also of those that it lacks."""
    found, probabilities_PC = _probabilities(kind, logits, cpu_batch)
    parts = np.empty(len(kind.gold(cpu_batch)), dtype=object)
    for row in range(len(parts)):
        parts[row] = probabilities_PC[found.rows == row].numpy()
    return parts


def _probabilities(kind: Kind, logits: Tensor, cpu_batch: Batch) -> tuple[Classes, Tensor]:
    """The class predictions, and their probabilities (P, C), both on the CPU."""
    if kind.classes is None:
        raise ValueError("a kind without class predictions")
    found = kind.classes(logits.cpu(), cpu_batch)
    return found, torch.softmax(at_least_fp32(found.logits), dim=-1).double()
