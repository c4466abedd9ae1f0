"""Hash of a cell's rows by content: equal for equal rows, however they are split into batches and shards.

Input: tables of a cell. Output: SHA-256 over every column but `length`, which follows from the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from data_prep.shards.columns import COLUMN_TYPES


class RowsHash:
    """Running SHA-256 over rows. Each column is hashed as a stream of its own, so that batches leave no trace.

    `columns` are the manifest's (name -> type).
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        types = {name: COLUMN_TYPES[kind] for name, kind in columns.items()}
        self._lists = [name for name, kind in types.items() if kind.many]
        self._texts = [*(name for name, kind in types.items() if kind.dtype == "string"), "key"]
        numbers = ["id", *(name for name in types if name not in (*self._lists, *self._texts))]
        self._many_texts = {name: hashlib.sha256() for name in self._lists if name in self._texts}
        names = dict.fromkeys((*self._lists, *self._texts))
        self._streams = {name: hashlib.sha256() for name in (*numbers, *names)}
        self._sizes = {name: hashlib.sha256() for name in names}

    def update(self, table: pa.Table) -> None:
        """Add the rows of `table`, which has the columns of a cell."""
        for name, stream in self._streams.items():
            for chunk in table.column(name).chunks:
                if name in self._many_texts:  # their number by row, then each as a row of its own
                    self._many_texts[name].update(_bytes(pc.list_value_length(chunk)))
                    chunk = chunk.flatten()
                if name in self._sizes:
                    size = pc.binary_length(chunk) if name in self._texts else pc.list_value_length(chunk)
                    self._sizes[name].update(_bytes(size))
                if name in self._texts:
                    stream.update("".join(chunk.to_pylist()).encode())
                else:
                    values = (chunk.flatten() if name in self._lists else chunk).to_numpy()
                    stream.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())

    def hexdigest(self) -> str:
        """Hash of all rows so far, 64 hex digits."""
        streams = (*self._streams.values(), *self._sizes.values(), *self._many_texts.values())
        return hashlib.sha256(b"".join(one.digest() for one in streams)).hexdigest()


def _bytes(sizes: pa.Array) -> bytes:
    return bytes(sizes.to_numpy().astype("<i4", copy=False).tobytes())
