"""Regression to a score: one output at the first token, squared error (as transformers does with one label).

Shapes: B batch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from data_prep.shards.columns import number_values
from data_prep.shards.manifest import Manifest
from trainer.kinds.batch import Batch
from trainer.kinds.divergence import at_least_fp32
from trainer.kinds.kind import Array, Kind, Rows
from trainer.results.predictions import line_per_row, write_predictions

LARGEST = 1e6  # far beyond any scale of scores; the predictions of a diverged model are cut to it


def targets(rows: pa.Table, batch: Batch) -> dict[str, Tensor]:
    """scores: (B,) fp32, NaN where missing."""
    return {"scores": torch.tensor(number_values(rows["score"]), dtype=torch.float32)}


def logits(head: Callable[[Tensor], Tensor], hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(B,) predicted scores, the only output of transformers' own classification head."""
    return head(hidden_BLH).squeeze(-1)


def losses(scores_B: Tensor, batch: Batch) -> Tensor:
    """(B,) squared error; 0 for examples without a score."""
    gold_B = batch.targets["scores"].to(scores_B.device)
    predicted_B = at_least_fp32(scores_B)
    return (predicted_B - torch.where(gold_B.isnan(), predicted_B.detach(), gold_B)).square()


def loss_count(batch: Batch) -> Tensor:
    """Number of examples with a score."""
    return (~batch.targets["scores"].isnan()).sum()


def divergence(scores_B: Tensor, other_B: Tensor, batch: Batch) -> Tensor:
    """Half the squared difference, summed: KL divergence of normal distributions of unit variance with these means.

    Both directions together, as SMART and R3F take them, give the squared difference, which is SMART's term for
    regression (Jiang et al. 2020, arXiv 1911.03437, section 2.1).
    """
    return 0.5 * (at_least_fp32(scores_B) - at_least_fp32(other_B)).square().sum()


def decode(scores_B: Tensor, batch: Batch) -> Array:
    """(B,) fp64 predicted scores, 0 for NaN."""
    found = torch.nan_to_num(scores_B.double(), nan=0.0).clamp(-LARGEST, LARGEST)
    return found.cpu().numpy()


def gold(batch: Batch) -> Array:
    """(B,) fp64 scores, NaN where missing."""
    return batch.targets["scores"].double().cpu().numpy()


def serialise(predicted_N: Array, rows: Rows, manifest: Manifest, path: Path) -> None:
    """Write the predicted scores, a line for every row of the publisher's file, in digits that tell all fp32 apart."""
    lines = manifest.source_rows * (manifest.copies + 1)
    write_predictions(path, line_per_row(rows.ids, predicted_N.astype(np.float32).astype(str).tolist(), lines))


# Mixup: w (f - y)^2 + (1 - w) (f - y')^2 = (f - w y - (1 - w) y')^2 + w (1 - w) (y - y')^2, whose last term is a
# constant, so that the mixed losses have the gradient of the loss against the mixed score.
KIND = Kind(
    "AutoModelForSequenceClassification", targets, logits, losses, loss_count, divergence, decode, gold, serialise,
    outputs=1, problem_type="regression", one_prediction=True, can_be_crossed=True, can_be_mixed=True,
    metrics=("spearman", "pearson"), columns=("first_ids", "second_ids", "score"))
