"""Classification of one text or of a pair: softmax over classes at the first token, cross-entropy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional

from data_prep.shards.columns import number_values
from data_prep.shards.manifest import Manifest
from trainer.kinds.batch import Batch
from trainer.kinds.divergence import at_least_fp32, kl_sum
from trainer.kinds.kind import Array, Classes, Kind, Rows
from trainer.results.predictions import line_per_row, write_predictions

MISSING = -1  # label of an example without one


def targets(rows: pa.Table, batch: Batch) -> dict[str, Tensor]:
    """labels: (B,) int64 class indices, or MISSING."""
    return {"labels": torch.tensor(number_values(rows["label"]), dtype=torch.int64)}


def logits(head: Callable[[Tensor], Tensor], hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(B, C) logits, through transformers' own classification head."""
    return head(hidden_BLH)


def losses(logits_BC: Tensor, batch: Batch) -> Tensor:
    """(B,) cross-entropy in nats; 0 for examples without a label."""
    return functional.cross_entropy(
        at_least_fp32(logits_BC), batch.targets["labels"], reduction="none", ignore_index=MISSING)


def loss_count(batch: Batch) -> Tensor:
    """Number of labelled examples."""
    return (batch.targets["labels"] != MISSING).sum()


def decode(logits_BC: Tensor, batch: Batch) -> Array:
    """(B,) indices of the most probable classes."""
    return logits_BC.argmax(dim=-1).cpu().numpy()


def gold(batch: Batch) -> Array:
    """(B,) class indices, or MISSING."""
    return batch.targets["labels"].cpu().numpy()


def classes(logits_BC: Tensor, batch: Batch) -> Classes:
    """One prediction per row."""
    return Classes(logits_BC, batch.targets["labels"], torch.arange(len(logits_BC)))


def serialise(predicted_N: Array, rows: Rows, manifest: Manifest, path: Path) -> None:
    """Write the predicted labels, a line for every row of the publisher's file."""
    lines = manifest.source_rows * (manifest.copies + 1)
    write_predictions(path, line_per_row(rows.ids, [manifest.labels[index] for index in predicted_N], lines))


KIND = Kind(
    "AutoModelForSequenceClassification", targets, logits, losses, loss_count, kl_sum, decode, gold, serialise,
    classes=classes, one_prediction=True, one_class=True, can_be_crossed=True, can_be_mixed=True,
    metrics=("accuracy", "f1"), columns=("first_ids", "second_ids", "label"))
