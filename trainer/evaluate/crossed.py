"""Examples of the generalized setting: first texts in one language, second texts in another, from parallel cells.

Inputs: two cells of one task and split whose rows can be joined (see `join`). Output: `CrossedExamples`. Rows that are
missing in one language, and rows whose labels differ (1.6 % in PAWS-X), are left out and counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_prep.base.errors import InputError
from data_prep.shards.read import Cell
from trainer.data.loader import Examples
from trainer.evaluate.join import column, join_rows
from trainer.kinds import named_kind
from trainer.kinds.languages import language_number
from trainer.kinds.sequences import lists


def groups_of(cell: Cell, ids: np.ndarray) -> np.ndarray:
    """(N,) strings: for each row of `ids` the key of the first row of `cell` with the same value in the column that its
    kind groups by, such as the same first text."""
    name = named_kind(cell.manifest.kind).group_column
    keys, values = column(cell, "key"), cell.table.column(name)
    texts = (one.tobytes() for one in lists(cell.table, name)) if pa.types.is_list(values.type) else values.to_pylist()
    leaders: dict[Any, int] = {}
    leader_by_row = [leaders.setdefault(text, row) for row, text in enumerate(texts)]
    rows = list(zip(column(cell, "id").tolist(), (keys[row] for row in leader_by_row), strict=True))
    group_by_id = dict(reversed(rows))  # of several windows of a row, the first one's
    return np.array([group_by_id[i] for i in ids.tolist()], dtype=np.str_)


class CrossedExamples(Examples):
    """First texts of one cell with second texts of another; rows in the order of the first cell's ids.

    `ids` are those of the first cell, `keys` the publisher's keys if both cells have them, else the row numbers.
    Raises InputError where no joined rows agree in their labels.
    """

    def __init__(self, first: Cell, second: Cell, max_length: int) -> None:
        super().__init__([first], max_length)
        self.languages = np.array([[language_number(cell.manifest.language) for cell in (first, second)]])
        self.join = join_rows(first, second)
        agree = self.join.agree
        if not agree.any():
            raise InputError(f"{first.path} and {second.path} have no row in common whose labels agree; "
                             "the generalized setting scores such rows only")
        in_first, in_second = self.join.first[agree], self.join.second[agree]
        self.ids = column(first, "id")[in_first]
        self.keys = column(first, "key" if self.join.by == "publisher" else "id")[in_first].astype(str)
        self.excluded = self.join.alone + len(self.join.first) - len(self.ids)
        self._rows = (in_first, in_second)
        self._cells = (first, second)
        sizes = [pc.list_value_length(cell.table.column(name)).to_numpy()[rows] for cell, name, rows in
                 zip((first, second), ("first_ids", "second_ids"), self._rows, strict=True)]
        specials = self.tokens.template.frames[1].specials
        self.lengths = np.minimum(sizes[0].astype(np.int64) + sizes[1] + specials, max_length)

    def rows(self, indices: np.ndarray) -> tuple[pa.Table, np.ndarray]:
        """(rows, ids) of the first cell in the order of `indices`, with the second texts of the other cell."""
        firsts, seconds = (cell.take(rows[indices]) for cell, rows in zip(self._cells, self._rows, strict=True))
        place = firsts.column_names.index("second_ids")
        return firsts.set_column(place, firsts.schema.field(place), seconds["second_ids"]), self.ids[indices]
