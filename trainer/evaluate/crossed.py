"""The generalized setting: the premise of one language with the hypothesis of another, from row-aligned cells.

Inputs: two cells of one task and split whose rows with equal ids are translations. Output: `CrossedExamples`.
Rows that only one language has, and rows whose labels differ between the languages (PAWS-X has 1.6 % of them), are
left out and counted.
"""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from data_prep.errors import InputError
from data_prep.shards import PAIR_SPECIAL_TOKENS, Cell
from trainer.data.collate import Batch, collate
from trainer.data.loader import Examples, segments
from trainer.data.sampler import Item


class CrossedExamples(Examples):
    """First segments of one cell with second segments of another; rows in the order of ascending id."""

    def __init__(self, first: Cell, second: Cell, max_length: int) -> None:
        super().__init__([first], max_length)
        for cell in (first, second):
            if not cell.manifest.parallel:
                raise InputError(f"{cell.path}: its rows are not marked as parallel to other languages'; "
                                 "the generalized setting needs row-aligned cells")
        ids, in_first, in_second = np.intersect1d(column(first, "id"), column(second, "id"), return_indices=True)
        agree = column(first, "label")[in_first] == column(second, "label")[in_second]
        self.ids = ids[agree]
        if not agree.any():
            raise InputError(f"{first.path} and {second.path} have no row in common whose labels agree; "
                             "the generalized setting needs row-aligned cells")
        self.excluded = len(first) + len(second) - len(ids) - len(self.ids)  # rows of either, less those kept
        self.labels = column(first, "label")[in_first][agree]
        self._rows = (in_first[agree], in_second[agree])
        self._tables = (first.dataset.with_format("arrow"), second.dataset.with_format("arrow"))
        sizes = [pc.list_value_length(cell.dataset.data.column(name)).to_numpy()[rows] for cell, name, rows in
                 zip((first, second), ("first_ids", "second_ids"), self._rows, strict=True)]
        self.lengths = np.minimum(sizes[0].astype(np.int64) + sizes[1] + PAIR_SPECIAL_TOKENS, max_length)

    def __getitem__(self, item: Item) -> Batch:
        epoch, indices = item[:2]
        firsts = segments(self._tables[0][self._rows[0][indices]])
        seconds = segments(self._tables[1][self._rows[1][indices]])
        rows = [(a[0], b[1]) for a, b in zip(firsts, seconds, strict=True)]
        batch = collate(rows, self.labels[indices], self.ids[indices], self.tokens, self.max_length, epoch=epoch)
        self.check_ids(batch)
        return batch


def column(cell: Cell, name: str) -> np.ndarray:
    """A number column of a cell, whole, shape (rows,)."""
    values: np.ndarray = cell.dataset.data.column(name).to_numpy()
    return values
