"""Writer of cells.

A *cell* is one language of one split of one task, a folder `<root>/<task>/<split>/<language>/` that holds
`shard-00000.arrow`, ... (Arrow streams written through `datasets`) and `manifest.json`. A cell is complete when its
manifest exists: it is written under another name and renamed last.

Input: batches of columns (`columns.cell_features`), and a draft of the manifest. Output: the folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from datasets.arrow_writer import ArrowWriter

from data_prep.base.errors import InputError
from data_prep.base.files import file_sha256, put_in_place, working_folder, write_json
from data_prep.shards.columns import cell_features, has_gold, label_values
from data_prep.shards.manifest import MANIFEST_FILE, WINDOW, Manifest, ShardInfo
from data_prep.shards.rows_hash import RowsHash

MAX_SHARD_BYTES = 256 * 1024 * 1024


def write_cell(
    path: str | Path,
    draft: Manifest,
    rows: Iterable[Mapping[str, Any] | pa.Table],
    max_shard_bytes: int = MAX_SHARD_BYTES,
    closing: Callable[[], Mapping[str, Any]] | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Write one cell at `path` from batches of columns, and return its finished manifest.

    `rows` yields batches, as Arrow tables or as {column: values} (lists, numpy or Arrow arrays), with the columns that
    the draft names, `id`, `length` and, unless it is the id, `key`; memory is bounded by the largest batch. `closing`
    is called after the last batch and returns manifest fields that are known only then (`skipped`, `truncated`). A
    shard is closed once it has reached `max_shard_bytes`. `rows_sha256` depends neither on batches nor on shards (see
    `RowsHash`).
    Raises InputError if a finished cell exists (unless `overwrite`) or if there are no rows. Exceptions of `rows` pass
    through, and nothing is left behind.
    """
    path = Path(path)
    if not overwrite:
        refuse_to_replace(path)
    with working_folder(path, "build") as folder:
        counts = _Counts(draft)
        shards = _write_shards(folder, counts.watch(rows), cell_features(draft.columns), max_shard_bytes)
        if not counts.rows:
            raise InputError(f"{draft.source}: no rows for {draft.task}/{draft.split}/{draft.language}; "
                             "expected at least one")
        late = dict(closing()) if closing else {}
        source_rows = max(draft.source_rows, counts.largest_id // (draft.copies + 1) + 1)
        manifest = draft.model_copy(
            update={"source_rows": source_rows, **late, **counts.fields(), "shards": shards})
        write_json(folder / MANIFEST_FILE, manifest.model_dump())
        put_in_place(folder, path, overwrite)
    return manifest


class _Counts:
    """Manifest fields that are counted from the rows as they are written."""

    def __init__(self, draft: Manifest) -> None:
        self.draft = draft
        self.schema = cell_features(draft.columns).arrow_schema
        self.rows = self.tokens = self.with_gold = self.further_windows = 0
        self.largest_id = -1
        self.content = RowsHash(draft.columns)
        self.per_label = np.zeros(len(draft.labels), dtype=np.int64)

    def watch(self, batches: Iterable[Mapping[str, Any] | pa.Table]) -> Iterator[pa.Table]:
        for batch in batches:
            there = batch if isinstance(batch, Mapping) else dict(zip(batch.column_names, batch.columns, strict=True))
            columns = {name: there[name] for name in self.schema.names if name != "key" or name in there}
            if "key" not in columns:
                columns["key"] = pa.array(columns["id"], type=pa.int64()).cast(pa.string())
            table = pa.table(columns, schema=self.schema)
            label = label_values(table, self.draft.columns)
            if label.size and (label.min() < -1 or label.max() >= len(self.draft.labels)):
                raise InputError(f"label index {label.min()}..{label.max()} outside the labels {self.draft.labels}")
            self.content.update(table)
            self.largest_id = max(self.largest_id, int(table["id"].to_numpy().max(initial=-1)))
            self.rows += table.num_rows
            if WINDOW in table.column_names:
                self.further_windows += int((table[WINDOW].to_numpy() > 0).sum())
            self.tokens += int(table["length"].to_numpy().sum(dtype=np.int64))
            self.with_gold += int(has_gold(table, self.draft.columns).sum())
            self.per_label += np.bincount(label[label >= 0], minlength=len(self.draft.labels))
            yield table

    def fields(self) -> dict[str, Any]:
        counts = {name: int(n) for name, n in zip(self.draft.labels, self.per_label, strict=True)}
        return {"rows": self.rows, "further_windows": self.further_windows, "tokens": self.tokens,
                "label_counts": counts, "rows_sha256": self.content.hexdigest(),
                "has_labels": self.with_gold == self.rows}


def _write_shards(
    folder: Path, tables: Iterable[pa.Table], features: datasets.Features, max_shard_bytes: int
) -> list[ShardInfo]:
    """Write `tables` as numbered Arrow streams; the size cap is checked after each batch."""
    shards: list[ShardInfo] = []
    writer: ArrowWriter | None = None
    rows = 0
    for table in tables:
        if writer is None:
            file = folder / f"shard-{len(shards):05d}.arrow"
            writer, rows = ArrowWriter(features=features, path=str(file)), 0
        writer.write_table(table)
        rows += table.num_rows
        if writer.stream.tell() >= max_shard_bytes:
            writer.finalize()
            shards.append(_shard_info(file, rows))
            writer = None
    if writer is not None:
        writer.finalize()
        shards.append(_shard_info(file, rows))
    return shards


def _shard_info(file: Path, rows: int) -> ShardInfo:
    return ShardInfo(file=file.name, rows=rows, bytes=file.stat().st_size, sha256=file_sha256(file))


def refuse_to_replace(path: Path) -> None:
    """Raise InputError if `path` exists and is not an empty folder."""
    if (path / MANIFEST_FILE).exists():
        raise InputError(f"{path} is a finished cell; remove it, or add --overwrite")
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"{path} exists and is not a finished cell; remove it, or add --overwrite")
