"""Sequences of a batch: the texts that become its inputs, one input per row of a cell or several."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_prep.shards.columns import number_values

NONE = np.empty(0, dtype=np.int32)


class Sequences(NamedTuple):
    """Inputs of the rows of a table, those of one row side by side."""

    texts: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]]
    """(first, second) token ids of each input without special tokens, views without copies; an empty second is none."""
    rows: npt.NDArray[np.int64]
    """(B,) row of the table that each input belongs to, ascending."""


def one_per_row(table: pa.Table) -> Sequences:
    """The columns `first_ids` and, where the kind has it, `second_ids` of every row."""
    firsts = lists(table, "first_ids")
    seconds = lists(table, "second_ids") if "second_ids" in table.column_names else [NONE] * len(firsts)
    return Sequences(list(zip(firsts, seconds, strict=True)), np.arange(len(firsts)))


def lists(table: pa.Table, name: str) -> list[npt.NDArray[np.int32]]:
    """Values of a list column by row, as views without copies."""
    column = table[name].combine_chunks()
    values, offsets = number_values(column.values), number_values(column.offsets)
    return [values[a:b] for a, b in itertools.pairwise(offsets)]
