"""Reader of cells: find finished ones, check them against their manifest, memory-map their rows.

Through pyarrow alone: importing `datasets` takes as long as half of torch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_prep.base.errors import InputError
from data_prep.base.files import file_sha256
from data_prep.shards.columns import COLUMN_TYPES, cell_schema, flat_values, number_values
from data_prep.shards.manifest import (
    KEY_CANNOT_HOLD,
    LONGEST_KEY,
    MANIFEST_FILE,
    MOST_WINDOWS,
    WINDOW,
    Manifest,
    ShardInfo,
    read_manifest,
)
from data_prep.shards.tokenizers import TOKENIZERS_FOLDER

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True)
class Cell:
    """Open cell: its folder, its manifest, and its rows, memory-mapped."""

    path: Path
    manifest: Manifest
    table: pa.Table
    files: Sequence[Path]
    """The Arrow streams behind `table`."""

    def __len__(self) -> int:
        return self.manifest.rows

    @cached_property
    def _batches(self) -> tuple[list[pa.RecordBatch], np.ndarray]:
        """The record batches that hold rows, and the number of rows before each."""
        batches = [batch for batch in self.table.to_batches() if batch.num_rows]
        return batches, np.cumsum([0, *(batch.num_rows for batch in batches)])

    def take(self, rows: np.ndarray) -> pa.Table:
        """The rows of these numbers, in this order. Unlike pyarrow's own `take`, it does not copy whole columns."""
        batches, starts = self._batches
        owners = np.searchsorted(starts, rows, side="right") - 1
        return pa.Table.from_batches([batches[owner].slice(row - starts[owner], 1)
                                      for owner, row in zip(owners, rows, strict=True)], self.table.schema)

    @cached_property
    def dataset(self) -> datasets.Dataset:
        """The rows as a data set of Hugging Face's library."""
        import datasets

        return datasets.concatenate_datasets([datasets.Dataset.from_file(str(file)) for file in self.files])


def find_cells(root: str | Path, task: str | None = None, split: str | None = None) -> list[Path]:
    """Folders of the finished cells below `root`, sorted; if given, only those of `task` and `split`."""
    found = []
    for manifest in Path(root).glob(f"*/*/*/{MANIFEST_FILE}"):
        names = manifest.relative_to(root).parts[:3]
        wanted = (task is None or names[0] == task) and (split is None or names[1] == split)
        if wanted and names[0] != TOKENIZERS_FOLDER and not any(name.startswith(".") for name in names):
            found.append(manifest.parent)
    return sorted(found)


def open_cell(path: str | Path, verify: Literal["size", "sha256", "none"] = "size") -> Cell:
    """Open the finished cell at `path`, memory-mapped, after comparing its shards with the manifest.

    `verify` "size" compares file sizes and row counts, "sha256" re-hashes every byte, "none" only checks that the files
    exist. Raises InputError for a missing, unfinished, truncated or altered cell.
    """
    path = Path(path)
    manifest = read_manifest(path)
    named = (manifest.task, manifest.split, manifest.language)
    if Path(os.path.abspath(path)).parts[-3:] != named:
        raise InputError(f"{path}: the manifest says {'/'.join(named)}; expected the cell in folders of these names")
    tables = []
    for shard in manifest.shards:
        check_shard(path / shard.file, shard, verify)
        tables.append(_open_shard(path / shard.file, shard, manifest))
    if not tables:
        raise InputError(f"{path / MANIFEST_FILE} names no shards; build the cell again")
    table = pa.concat_tables(tables)
    if len(table) != manifest.rows or not manifest.rows:
        raise InputError(f"{path}: {len(table)} rows, the manifest says {manifest.rows}; build the cell again")
    return Cell(path, manifest, table, [path / shard.file for shard in manifest.shards])


def _open_shard(file: Path, shard: ShardInfo, manifest: Manifest) -> pa.Table:
    """Memory-map the rows of one file; raises InputError if they are not what the manifest says.

    Checks number columns and list bounds, about a tenth of the file: false bounds would make a reader leave the
    file's memory. Token ids are checked batch by batch (`Examples`), or by `verify`.
    """
    schema = cell_schema(manifest.columns)
    try:
        table = pa.ipc.open_stream(pa.memory_map(str(file))).read_all()
        fits = table.schema.equals(schema) and table.num_rows == shard.rows
        if fits:
            table.validate(full=True)
    except Exception as error:  # damage surfaces as an error of Arrow or of the file system
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{file} cannot be read as Arrow ({reason[:200]}); build the cell again") from None
    if not fits:
        raise InputError(f"{file}: {table.num_rows} rows of {', '.join(table.column_names)[:200]}, the manifest says "
                         f"{shard.rows} of {', '.join(schema.names)}; build the cell again")
    lists = [chunk.values for name, kind in manifest.columns.items() if COLUMN_TYPES[kind].many
             for chunk in table.column(name).chunks]
    if any(column.null_count for column in (*table.columns, *lists)):
        raise InputError(f"{file}: an entry is empty (null), expected a value; build the cell again")
    if table.num_rows:
        least_length = manifest.tokenizer.template.frames[0].specials
        largest_id = min(2**40, manifest.source_rows * (manifest.copies + 1)) - 1
        _check_bounds(file, "id", number_values(table["id"]), 0, largest_id)
        _check_bounds(file, "length", number_values(table["length"]), least_length, manifest.max_length)
        for name, kind in manifest.columns.items():
            if COLUMN_TYPES[kind].holds_labels:
                values = flat_values(table, name, COLUMN_TYPES[kind].many)
                _check_bounds(file, name, values, 0 if manifest.has_labels else -1, len(manifest.labels) - 1)
    ids = number_values(table.column("id"))
    if WINDOW in manifest.columns and table.num_rows:
        _check_bounds(file, WINDOW, number_values(table[WINDOW]), 0, MOST_WINDOWS - 1)
        ids = ids * MOST_WINDOWS + number_values(table[WINDOW])
    if (np.diff(ids) <= 0).any() and len(np.unique(ids)) < len(ids):
        raise InputError(f"{file}: an id occurs twice; build the cell again")
    _check_keys(file, table, manifest)
    return table


def _check_bounds(file: Path, name: str, values: np.ndarray, least: int, largest: int) -> None:
    if values.size and (values.min() < least or values.max() > largest):
        raise InputError(f"{file}: {name} {values.min()}..{values.max()}, expected {least}..{largest}; build the cell "
                         "again")


def _check_keys(file: Path, table: pa.Table, manifest: Manifest) -> None:
    """Raise InputError if a key is empty, breaks a tab-separated line, occurs twice, or is not the row number."""
    keys, ids = table.column("key"), table.column("id")
    if pc.all(pc.equal(keys, ids.cast(pa.string()))).as_py() is not False:  # unique as the ids are
        return
    if manifest.keys == "row" and not manifest.copies:
        raise InputError(f"{file}: a key is not the row number, but the manifest says keys: row; build the cell again")
    odd = pc.any(pc.match_substring_regex(keys, KEY_CANNOT_HOLD)).as_py() or pc.min(pc.binary_length(keys)).as_py() == 0
    if odd or pc.max(pc.binary_length(keys)).as_py() > LONGEST_KEY:
        raise InputError(f"{file}: a key is empty, longer than {LONGEST_KEY} bytes, or holds a tab or a line break; "
                         "build the cell again")
    if pc.count_distinct(keys).as_py() < pc.count_distinct(ids).as_py():
        raise InputError(f"{file}: a key occurs twice; build the cell again")


def check_shard(file: Path, shard: ShardInfo, verify: str) -> None:
    """Raise InputError if `file` differs from `shard` in what `verify` compares (see `open_cell`)."""
    if verify not in ("size", "sha256", "none"):
        raise InputError(f"verify must be size, sha256 or none, found {verify!r}")
    if not file.is_file():
        raise InputError(f"{file} is missing, the manifest names it; build the cell again")
    if file.resolve().parent != file.parent.resolve():
        raise InputError(f"{file} is a link that leads out of its cell; put the file itself there")
    size = file.stat().st_size
    if verify != "none" and size != shard.bytes:
        raise InputError(f"{file}: {size} bytes, the manifest says {shard.bytes}; build the cell again")
    if verify == "sha256":
        found = file_sha256(file)
        if found != shard.sha256:
            raise InputError(f"{file}: sha256 {found[:12]}..., the manifest says {shard.sha256[:12]}...; "
                             "build the cell again")
