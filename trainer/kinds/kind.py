"""The record that describes a kind of task: its targets, head, loss, predictions, and what can be done with it.

Shapes: B batch, L length, H width, C classes, P predictions behind a loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from torch import Tensor

from data_prep.shards.manifest import Manifest
from trainer.kinds.batch import Batch
from trainer.kinds.tokens import Tokens

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Masking:
    """Random masking of inputs: share of content tokens to predict, and seed of the choice."""

    ratio: float
    seed: int


@dataclass(frozen=True)
class Kind:
    """A kind of task; `trainer.kinds.KINDS` holds all of them by name.

    Example and prediction are told apart: a token kind makes many predictions in one example.
    """

    head: str
    """Name of the transformers Auto class that loads and saves the model with its head."""
    targets: Callable[[pa.Table, Batch], dict[str, Tensor]]
    """(rows of a cell, their batch without targets) -> tensors that the loss needs, first dimension B."""
    logits: Callable[[Callable[[Tensor], Tensor], Tensor, Batch], Tensor]
    """(transformers' head, hidden_BLH, batch) -> logits (P, C)."""
    losses: Callable[[Tensor, Batch], Tensor]
    """(logits, batch) -> (B,) fp32 loss summed over the predictions of an example, 0 where its label is missing."""
    loss_count: Callable[[Batch], Tensor]
    """(batch) -> number of predictions that the loss sums over, an integer scalar."""
    divergence: Callable[[Tensor, Tensor, Batch], Tensor]
    """(logits, other logits, batch) -> divergence of the second from the first, summed over predictions, in fp32."""
    decode: Callable[[Tensor, Batch], Array]
    """(logits, batch) -> (B, ...) predictions on the CPU, as the task's metrics take them."""
    gold: Callable[[Batch], Array]
    """(batch) -> (B, ...) gold labels on the CPU, as the task's metrics take them."""
    serialise: Callable[[Array, npt.NDArray[np.int64], Manifest, Path], None] | None = None
    """(predictions, row ids ascending, manifest, path): write a prediction file; None where the kind has none."""
    mask: Callable[[Batch, Tokens, Masking, int], Batch] | None = None
    """(batch, tokens, masking, epoch) -> masked batch and its targets; None where inputs are not masked at random."""
    one_prediction: bool = False
    """One prediction per example: `loss_count` of a labelled batch is its size."""
    one_class: bool = False
    """Logits are (B, C), one of the manifest's labels per example: predictions can be certified by randomized
    smoothing, be at chance, and collapse to a single class."""
    can_be_crossed: bool = False
    """An example has two texts, each of which may be in a language of its own."""
    can_be_mixed: bool = False
    """Labels of two examples can be mixed (mixup), as the loss is linear in them."""
    metrics: tuple[str, ...] = ()
    """Metrics of its predictions, by their names in METRICS."""
    columns: tuple[str, ...] = ("first_ids", "second_ids")
    """Columns of a cell that are read."""

    @property
    def auto_class(self) -> Any:
        """The transformers class named by `head`; imported on use, as it takes longer than everything else here."""
        import transformers

        return getattr(transformers, self.head)
