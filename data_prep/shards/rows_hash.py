"""Hash of a cell's rows by their content: equal for equal rows, however they are split into batches and shards.

Input: tables with the columns of a cell. Output: a sha256 over every column but `length`, which follows from the
others.
"""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

NUMBERS, LISTS = ("id", "label"), ("first_ids", "second_ids")


class RowsHash:
    """sha256 over the content of rows: each column is a stream of its own, so that batches leave no trace."""

    def __init__(self) -> None:
        self._streams = {name: hashlib.sha256() for name in (*NUMBERS, *LISTS, "key")}
        self._sizes = {name: hashlib.sha256() for name in (*LISTS, "key")}

    def update(self, table: pa.Table) -> None:
        """Add the rows of `table`, which has the columns of a cell."""
        for name, stream in self._streams.items():
            for chunk in table.column(name).chunks:
                if name in self._sizes:
                    size = pc.binary_length(chunk) if name == "key" else pc.list_value_length(chunk)
                    self._sizes[name].update(size.to_numpy().astype("<i4", copy=False).tobytes())
                if name == "key":
                    stream.update("".join(chunk.to_pylist()).encode())
                else:
                    values = chunk.to_numpy() if name in NUMBERS else chunk.flatten().to_numpy()
                    stream.update(values.astype("<i8" if name in NUMBERS else "<i4", copy=False).tobytes())

    def hexdigest(self) -> str:
        """The hash of all rows so far, 64 hex digits."""
        return hashlib.sha256(b"".join(stream.digest() for stream in (*self._streams.values(), *self._sizes.values()))
                              ).hexdigest()
