"""Multiple choice: one score per choice, softmax over the choices of an example, cross-entropy.

Every choice is an input of its own. Examples of a batch may have different numbers of choices. Shapes: B inputs (all
choices of all examples), G examples, C most choices of an example in the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional

from data_prep.shards.columns import number_values
from data_prep.shards.manifest import Manifest
from trainer.kinds.batch import Batch
from trainer.kinds.divergence import at_least_fp32, kl_sum
from trainer.kinds.kind import Array, Classes, Kind, Rows
from trainer.kinds.sequences import Sequences, lists
from trainer.results.predictions import line_per_row, write_predictions

MISSING = -1  # label of an example without one, and place of a choice that an example lacks
ABSENT = -1e4  # logit of such a choice: probability 0 in every precision, and no infinity, whose difference is NaN


def sequences(table: pa.Table) -> Sequences:
    """An input for every choice of every row: the row's first text, and the choice."""
    texts, owners = [], []
    columns = (lists(table, name) for name in ("first_ids", "second_ids", "ends"))
    for row, (first, seconds, ends) in enumerate(zip(*columns, strict=True)):
        texts += [(first, choice) for choice in np.split(seconds, ends[:-1])]
        owners += [row] * len(ends)
    return Sequences(texts, np.array(owners, dtype=np.int64))


def targets(table: pa.Table, batch: Batch) -> dict[str, Tensor]:
    """labels: (G,) int64 index of the right choice, or MISSING. inputs: (G, C) int64 place of each choice among the
    inputs, or MISSING. examples: (B,) int64 example of each input."""
    counts = number_values(table["ends"].combine_chunks().value_lengths())
    places = np.arange(counts.max())
    inputs = np.where(places < counts[:, None], (np.cumsum(counts) - counts)[:, None] + places, MISSING)
    return {"labels": torch.tensor(number_values(table["label"]), dtype=torch.int64),
            "inputs": torch.from_numpy(inputs.astype(np.int64)),
            "examples": torch.from_numpy(np.repeat(np.arange(len(counts)), counts))}


def logits(head: Callable[[Tensor], Tensor], hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(G, C) logits of the choices of each example, ABSENT where it has fewer; through transformers' own head."""
    inputs_GC = batch.targets["inputs"]
    scores_B = head(hidden_BLH).squeeze(-1)
    return torch.where(inputs_GC == MISSING, ABSENT, scores_B[inputs_GC.clamp(min=0)])


def losses(logits_GC: Tensor, batch: Batch) -> Tensor:
    """(B,) cross-entropy in nats of the example of each input, in equal shares of its inputs.

    So the sum is right, and what compares losses input by input (restarts of an ascent) decides alike for all choices
    of an example. 0 for examples without a label.
    """
    counts_G = (batch.targets["inputs"] != MISSING).sum(dim=1)
    nats_G = functional.cross_entropy(
        at_least_fp32(logits_GC), batch.targets["labels"], reduction="none", ignore_index=MISSING)
    return (nats_G / counts_G)[batch.targets["examples"]]


def loss_count(batch: Batch) -> Tensor:
    """Number of labelled examples."""
    return (batch.targets["labels"] != MISSING).sum()


def decode(logits_GC: Tensor, batch: Batch) -> Array:
    """(G,) indices of the most probable choices."""
    return logits_GC.argmax(dim=-1).cpu().numpy()


def gold(batch: Batch) -> Array:
    """(G,) indices of the right choices, or MISSING."""
    return batch.targets["labels"].cpu().numpy()


def classes(logits_GC: Tensor, batch: Batch) -> Classes:
    """One prediction per example, of its choices; those that it lacks have probability 0."""
    return Classes(logits_GC, batch.targets["labels"], torch.arange(len(logits_GC)))


def serialise(predicted_N: Array, rows: Rows, manifest: Manifest, path: Path) -> None:
    """Write the index of each predicted choice, from 0 on, a line for every row of the publisher's file."""
    lines = manifest.source_rows * (manifest.copies + 1)
    write_predictions(path, line_per_row(rows.ids, [str(index) for index in predicted_N], lines))


KIND = Kind(
    "AutoModelForMultipleChoice", targets, logits, losses, loss_count, kl_sum, decode, gold, serialise, outputs=1,
    sequences=sequences, classes=classes, one_prediction=True, metrics=("accuracy",),
    columns=("first_ids", "second_ids", "ends", "label"))
