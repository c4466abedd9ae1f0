"""Typed columns of cells. The manifest names a cell's columns and their types, so cells are checked without their kind.

Columns of every cell:
id      row number in the source, before anything is skipped
key     the publisher's name of the row, else the row number as text; unique in a cell
length  length of the assembled and truncated model input, special tokens included
Between `key` and `length` stand the columns of the cell's kind (`data_prep.kinds`), of the types below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # slow to import: manifests are read without either, cells without datasets
    import datasets
    import pyarrow as pa


@dataclass(frozen=True)
class ColumnType:
    """Type of a column: Arrow type of its values, and their role."""

    dtype: str
    many: bool = False
    """True if a row holds a list of values."""
    gold: bool = False
    """True if it is a gold answer. A row without one has a negative number, NaN or an empty list."""
    holds_labels: bool = False
    """True if values are indices into the manifest's labels, or -1."""


COLUMN_TYPES: dict[str, ColumnType] = {
    "token_ids": ColumnType("int32", many=True),  # without special tokens
    "label": ColumnType("int64", gold=True, holds_labels=True),
    "labels": ColumnType("int32", many=True, gold=True, holds_labels=True),
    "choice": ColumnType("int64", gold=True),  # index of the right one of a row's choices
    "number": ColumnType("float64", gold=True),
    "texts": ColumnType("string", many=True, gold=True),
    "integer": ColumnType("int64"),
    "integers": ColumnType("int32", many=True),
    "text": ColumnType("string"),
}


SIDES = ("query", "candidate")
"""Names of the values 0 and 1 of a column `side`."""
NO_MATCH = ""
"""The only entry of a column `matches` whose row is known to match no other: gold, unlike an empty list."""


def cell_features(columns: Mapping[str, str]) -> datasets.Features:
    """Features of a cell whose kind has these columns (name -> type)."""
    import datasets

    kinds = {name: COLUMN_TYPES[kind] for name, kind in columns.items()}
    return datasets.Features({
        "id": datasets.Value("int64"), "key": datasets.Value("string"),
        **{name: datasets.List(datasets.Value(kind.dtype)) if kind.many else datasets.Value(kind.dtype)
           for name, kind in kinds.items()},
        "length": datasets.Value("int32")})


def cell_schema(columns: Mapping[str, str]) -> pa.Schema:
    """Arrow schema of these features."""
    import pyarrow as pa

    types = {name: (COLUMN_TYPES[kind].many, pa.type_for_alias(COLUMN_TYPES[kind].dtype))
             for name, kind in columns.items()}
    return pa.schema({"id": pa.int64(), "key": pa.string(),
                      **{name: pa.list_(value) if many else value for name, (many, value) in types.items()},
                      "length": pa.int32()})


def of_type(columns: Mapping[str, str], kind: str) -> list[str]:
    """Names of the columns of type `kind`."""
    return [name for name, one in columns.items() if one == kind]


def holds_gold(columns: Mapping[str, str]) -> bool:
    """True for columns of which one holds gold answers."""
    return any(COLUMN_TYPES[kind].gold for kind in columns.values())


def number_values(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Values of a number column without nulls, read-only.

    pyarrow's `to_numpy` imports pandas if it is installed, a tenth of a training's start.
    """
    import pyarrow as pa

    return np.from_dlpack(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)


def flat_values(table: pa.Table, name: str, many: bool) -> np.ndarray:
    """All values of one column of `table`, lists joined."""
    column = table.column(name).combine_chunks()
    return number_values(column.flatten() if many else column)


def label_values(table: pa.Table, columns: Mapping[str, str]) -> np.ndarray:
    """All label indices in `table`, flat; empty where no column holds labels."""
    found = [flat_values(table, name, COLUMN_TYPES[kind].many) for name, kind in columns.items()
             if COLUMN_TYPES[kind].holds_labels]
    return np.concatenate([np.empty(0, dtype=np.int64), *found], dtype=np.int64)


def has_gold(table: pa.Table, columns: Mapping[str, str]) -> np.ndarray:
    """(rows,) bool: rows of `table` that have every gold answer; none where no column holds any."""
    known: list[np.ndarray] = []
    for name, kind in ((name, COLUMN_TYPES[kind]) for name, kind in columns.items()):
        if kind.gold:
            column = table.column(name).combine_chunks()
            values = number_values(column.value_lengths() if kind.many else column)
            known.append(values > 0 if kind.many else ~np.isnan(values) if kind.dtype == "float64" else values >= 0)
    return np.logical_and.reduce(known) if known else np.zeros(table.num_rows, dtype=bool)
