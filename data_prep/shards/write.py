"""Writer of sharded cells.

A *cell* is one language of one split of one task, a folder `<root>/<task>/<split>/<language>/` that holds
`shard-00000.arrow`, ... (Arrow streams written through `datasets`) and `manifest.json`. A cell is complete when its
manifest exists: everything is written in a folder of another name, which is renamed into place last.

Input: batches of columns (`columns.FEATURES`), and a draft of the manifest. Output: the folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets.arrow_writer import ArrowWriter

from data_prep.base.errors import InputError
from data_prep.base.files import file_sha256, put_in_place, working_folder, write_json
from data_prep.shards.columns import FEATURES
from data_prep.shards.manifest import MANIFEST_FILE, Manifest, ShardInfo
from data_prep.shards.rows_hash import RowsHash

MAX_SHARD_BYTES = 256 * 1024 * 1024


def write_cell(
    path: str | Path,
    draft: Manifest,
    rows: Iterable[Mapping[str, Any]],
    max_shard_bytes: int = MAX_SHARD_BYTES,
    closing: Callable[[], Mapping[str, Any]] | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Write one cell at `path` from batches of columns, and return its finished manifest.

    `rows` yields batches as {column: values} (lists, numpy or Arrow arrays, one entry per column of `FEATURES`; `key`
    may be left out where it is the id); memory is bounded by the largest batch. `closing` is called after the last
    batch and gives manifest fields that are known only then (`skipped`, `truncated`). A shard is closed once it has
    reached `max_shard_bytes`. The manifest's `rows_sha256` covers every column but `length`, which follows from the
    others, and depends neither on batches nor on shards.
    Raises InputError where a finished cell is in the way (unless `overwrite`) or where there are no rows. Whatever
    `rows` raises passes through, and nothing is left behind.
    """
    path = Path(path)
    if not overwrite:
        refuse_to_replace(path)
    with working_folder(path, "build") as folder:
        counts = _Counts(draft.labels)
        shards = _write_shards(folder, counts.watch(rows), max_shard_bytes)
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
    """Figures of the manifest that are read off the rows as they pass."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = list(labels)
        self.rows = self.tokens = 0
        self.largest_id = -1
        self.content = RowsHash()
        self.per_label = np.zeros(len(self.labels), dtype=np.int64)

    def watch(self, batches: Iterable[Mapping[str, Any]]) -> Iterator[pa.Table]:
        for batch in batches:
            columns = {name: batch[name] for name in FEATURES if name != "key" or name in batch}
            if "key" not in columns:
                columns["key"] = pa.array(columns["id"], type=pa.int64()).cast(pa.string())
            table = pa.table(columns, schema=FEATURES.arrow_schema)
            label = table["label"].to_numpy()
            if label.size and (label.min() < -1 or label.max() >= len(self.labels)):
                raise InputError(f"label index {label.min()}..{label.max()} outside the label set {self.labels}")
            self.content.update(table)
            self.largest_id = max(self.largest_id, int(table["id"].to_numpy().max(initial=-1)))
            self.rows += table.num_rows
            self.tokens += int(table["length"].to_numpy().sum(dtype=np.int64))
            self.per_label += np.bincount(label[label >= 0], minlength=len(self.labels))
            yield table

    def fields(self) -> dict[str, Any]:
        counts = {name: int(n) for name, n in zip(self.labels, self.per_label, strict=True)}
        return {"rows": self.rows, "tokens": self.tokens, "label_counts": counts,
                "rows_sha256": self.content.hexdigest(),
                "has_labels": bool(self.labels) and sum(counts.values()) == self.rows}


def _write_shards(folder: Path, tables: Iterable[pa.Table], max_shard_bytes: int) -> list[ShardInfo]:
    """Write `tables` as numbered Arrow streams below the size cap; the cap is checked after each batch."""
    shards: list[ShardInfo] = []
    writer: ArrowWriter | None = None
    rows = 0
    for table in tables:
        if writer is None:
            file = folder / f"shard-{len(shards):05d}.arrow"
            writer, rows = ArrowWriter(features=FEATURES, path=str(file)), 0
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
    """Raise InputError where something is at `path` already, a finished cell or anything else."""
    if (path / MANIFEST_FILE).exists():
        raise InputError(f"{path} is a finished cell already; remove it, or ask for overwriting")
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"{path} is in the way and is no finished cell; remove it, or ask for overwriting")
