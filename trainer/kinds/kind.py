"""The record that describes a kind of task: its targets, head, loss, predictions, and what can be done with it.

Shapes: B batch, L length, H width, C classes, P predictions behind a loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from torch import Tensor

from data_prep.shards.manifest import WINDOW, Manifest
from trainer.kinds.batch import Batch
from trainer.kinds.sequences import Sequences, one_per_row
from trainer.kinds.tokens import Tokens

Array = npt.NDArray[Any]


class Rows(NamedTuple):
    """Examples of a prediction file, in ascending order of ids. Shape: (N,)."""

    ids: npt.NDArray[np.int64]
    """Row numbers in the publisher's file."""
    keys: npt.NDArray[np.str_]
    """The publisher's keys, else the row numbers as text."""


class Classes(NamedTuple):
    """Class predictions of a batch, P of them: one per example, or one per word."""

    logits: Tensor
    """(P, C)"""
    gold: Tensor
    """(P,) int64 index of the right class, negative where it is missing."""
    rows: Tensor
    """(P,) int64 row of the cell, counted in the batch, that a prediction belongs to."""


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
    """(rows of a cell, their batch without targets) -> tensors that the loss needs."""
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
    serialise: Callable[[Array, Rows, Manifest, Path], None] | None = None
    """(predictions, rows, manifest, path): write a prediction file; None where the kind has none."""
    extension: str = "tsv"
    """Ending of the name of a prediction file."""
    outputs: int | None = None
    """Rows of the head's output layer; None for one per label of the manifest."""
    problem_type: str | None = None
    """transformers' name of the loss, for the exported model; None where it follows from the labels."""
    sequences: Callable[[pa.Table], Sequences] = one_per_row
    """(rows of a cell) -> inputs of the model, one per row or several (the choices of a question); B counts them."""
    join: Callable[[Array, Array, pa.Table], tuple[Array, Array]] | None = None
    """(predictions, gold, rows of a cell, all of length N) -> predictions and gold of its examples, in the order of
    their first rows: windows of one example joined, texts put in for positions. None where a row is an example."""
    certainty: Callable[[Array, pa.Table], Array] | None = None
    """(predictions, rows of a cell) -> probability of each prediction that `join` makes of them; None where `classes`
    tells it, or predictions have none."""
    spell: Callable[[Array, Sequence[str]], Array] | None = None
    """(predictions or gold, the manifest's labels) -> the same with names for indices, where metrics read names."""
    classes: Callable[[Tensor, Batch], Classes] | None = None
    """(logits, batch) -> its class predictions; None where predictions are no classes, or inputs are masked anew in
    every epoch. Training dynamics and pseudo-labels are made of their probabilities."""
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
    """Labels of two examples can be mixed (mixup): the loss is linear in them, or its gradient is."""
    metrics: tuple[str, ...] = ()
    """Metrics of its predictions, by their names in METRICS."""
    columns: tuple[str, ...] = ("first_ids", "second_ids")
    """Columns of a cell that are read."""
    group_column: str = "first_ids"
    """Column whose equal values make examples depend on each other: they are resampled together."""

    @property
    def has_windows(self) -> bool:
        """True where a row of the source may be several rows of a cell, windows of it."""
        return WINDOW in self.columns
