"""Mixup partners: one for every example of a global batch, independent of the number of ranks.

Input: `robust.partner`, the training cells. Output: a function (indices of a global batch, step) -> indices of the
partners, both int64 of shape (batch size,), which depends on the seed and the step alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_prep.base.errors import InputError
from data_prep.shards.columns import number_values
from data_prep.shards.read import Cell
from trainer.data.sampler import Choice
from trainer.kinds import KINDS

PARTNER_STREAM = 1  # random numbers independent of those of the data order


def partner_choice(kind: str, cells: Sequence[Cell], seed: int) -> Choice:
    """Choice of partners: "batch", another example of the batch, or "copy", another copy of the same row.

    Raises InputError if the cells do not allow it.
    """
    for cell in cells:
        if not KINDS[cell.manifest.kind].can_be_mixed:
            raise InputError(f"robust.partner: only examples with one label can be mixed; {cell.path} is of "
                             f"kind {cell.manifest.kind}")
        if kind == "copy" and not cell.manifest.copies:
            raise InputError(f"robust.partner copy: {cell.path} holds one copy of each row; train on cells made by "
                             "`python -m data_prep augment`, or set robust.partner to batch")
    if kind == "batch":
        return lambda batch, step: np.random.default_rng([seed, step, PARTNER_STREAM]).permutation(batch)
    _, row, copies = np.unique(_sources(cells), return_inverse=True, return_counts=True)
    by_row = np.argsort(row, kind="stable")  # copies of a row side by side, from `start` of the row on
    start = np.cumsum(copies) - copies
    place = np.empty_like(by_row)
    place[by_row] = np.arange(len(by_row)) - start[row[by_row]]

    def another_copy(batch: np.ndarray, step: int) -> np.ndarray:
        """Uniform draw among the other copies; the only copy of a row is its own partner."""
        size = copies[row[batch]]
        draw = np.random.default_rng([seed, step, PARTNER_STREAM]).random(len(batch))
        offset = np.where(size > 1, 1 + np.floor(draw * (size - 1)), 0).astype(np.int64)
        partners: np.ndarray = by_row[start[row[batch]] + (place[batch] + offset) % size]
        return partners

    return another_copy


def _sources(cells: Sequence[Cell]) -> np.ndarray:
    """Number of the row that each example is a copy of, unique over the cells."""
    numbers: list[np.ndarray] = []
    offset = 0
    for cell in cells:
        rows = number_values(cell.table.column("id")) // (cell.manifest.copies + 1)
        numbers.append(rows + offset)
        offset += int(rows.max()) + 1
    return np.concatenate(numbers)
