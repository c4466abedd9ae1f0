"""The door from preparation to training: write, find and open sharded cells, and assemble model inputs from them.

A *cell* is one language of one split of one task, a folder `<root>/<task>/<split>/<language>/` that holds
`shard-00000.arrow`, ... (Arrow streams written through `datasets`) and `manifest.json`. A cell is complete when its
manifest exists: everything is written in a folder of another name, which is renamed into place last. The tokenizer
is kept beside the cells, in `<root>/tokenizers/<first 12 hex digits of its fingerprint>/`.

Inputs: batches of columns, and what is to stand in the manifest. Outputs: the folder; when reading, a `Cell`.
Row columns: `id` (row number in the source, before anything is skipped), `key` (the publisher's name of the row where
it has one, else the row number as text; unique in a cell), `first_ids` and `second_ids` (token ids without special
tokens; `second_ids` is empty for single texts), `label` (index into the manifest's labels, -1 for none), `length`
(length of the assembled and truncated model input, special tokens included).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets.arrow_writer import ArrowWriter

from data_prep.errors import InputError
from data_prep.label_names import label_order
from data_prep.lock import working_path
from data_prep.manifest import (
    FORMAT_VERSION,
    KEY_CANNOT_HOLD,
    LONGEST_KEY,
    MANIFEST_FILE,
    SHIFTS_NOTHING,
    LanguageInfo,
    Manifest,
    ShardInfo,
    TokenizerInfo,
    read_manifest,
)
from data_prep.rows_hash import RowsHash

__all__ = [
    "FORMAT_VERSION", "MANIFEST_FILE", "SHIFTS_NOTHING", "Cell", "LanguageInfo", "Manifest", "ShardInfo",
    "TokenizerInfo", "assemble", "file_sha256", "find_cells", "kept_tokens", "label_order", "open_cell",
    "put_in_place", "read_manifest", "read_tokenizer", "refuse_to_replace", "tokenizer_dir",
    "tokenizer_fingerprint", "working_folder", "write_cell", "write_json",
]

TOKENIZERS_FOLDER = "tokenizers"
MAX_SHARD_BYTES = 256 * 1024 * 1024
FEATURES = datasets.Features({
    "id": datasets.Value("int64"),
    "key": datasets.Value("string"),
    "first_ids": datasets.List(datasets.Value("int32")),
    "second_ids": datasets.List(datasets.Value("int32")),
    "label": datasets.Value("int64"),
    "length": datasets.Value("int32"),
})
PAIR_SPECIAL_TOKENS = 4  # <s> first </s></s> second </s>
SINGLE_SPECIAL_TOKENS = 2  # <s> first </s>


@dataclass(frozen=True)
class Cell:
    """An open cell: where it lies, its manifest, and its rows, memory-mapped."""

    path: Path
    manifest: Manifest
    dataset: datasets.Dataset

    def __len__(self) -> int:
        return self.manifest.rows


# --- model inputs ---------------------------------------------------------------------------------------------------
def kept_tokens(n_first: int, n_second: int, max_length: int) -> tuple[int, int]:
    """How many tokens of each segment fit into `max_length` (special tokens included), truncating the longest first.

    The same rule as Hugging Face's `truncation="longest_first"`: the longer segment gives way until both are equal,
    then both share what is left, the odd token going to the one that was longer (to the second where they were
    equal). `n_second` 0 means a single text.
    """
    if n_second == 0:
        return min(n_first, max_length - SINGLE_SPECIAL_TOKENS), 0
    budget = max_length - PAIR_SPECIAL_TOKENS
    if n_first + n_second <= budget:
        return n_first, n_second
    short, long = min(n_first, n_second), budget - min(n_first, n_second)
    if short > long:
        short, long = budget // 2, budget - budget // 2
    return (long, short) if n_first > n_second else (short, long)


def assemble(
    first: Sequence[int] | np.ndarray, second: Sequence[int] | np.ndarray, max_length: int, cls_id: int, sep_id: int
) -> np.ndarray:
    """The model input for one row: `<s> first </s></s> second </s>`, or `<s> first </s>` where `second` is empty.

    `first` and `second` are ids without special tokens; the result is int64 of shape (length,), length <=
    `max_length`, equal to the tokenizer's own `tokenizer(a, b, truncation="longest_first", max_length=max_length)`.
    """
    n_first, n_second = kept_tokens(len(first), len(second), max_length)
    specials = PAIR_SPECIAL_TOKENS if n_second else SINGLE_SPECIAL_TOKENS
    ids = np.full(n_first + n_second + specials, sep_id, dtype=np.int64)
    ids[0] = cls_id
    ids[1 : n_first + 1] = first[:n_first]
    if n_second:
        ids[n_first + 3 : n_first + 3 + n_second] = second[:n_second]
    return ids


# --- tokenizers -----------------------------------------------------------------------------------------------------
def tokenizer_fingerprint(tokenizer: Any) -> str:
    """sha256 (hex) of the backend tokenizer's JSON without truncation and padding, which are settings of a call."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["truncation"] = state["padding"] = None
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def read_tokenizer(source: str) -> Any:
    """The tokenizer at `source`, a folder or a name on the hub, without any code of its own.

    Raises OSError where there is none, ValueError with the reason where it cannot be read.
    """
    from transformers import AutoTokenizer  # slow to import, and not needed to read cells

    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # damage makes the tokenizers library panic, which is no Exception
        raise ValueError(f"{type(error).__name__}: {' '.join(str(error).split())[:160]}") from None


def tokenizer_dir(root: str | Path, fingerprint: str) -> Path:
    """Where the cells below `root` keep the tokenizer with this fingerprint."""
    return Path(root) / TOKENIZERS_FOLDER / fingerprint[:12]


# --- writing --------------------------------------------------------------------------------------------------------
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


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people and programs, flushed to the disk before it returns."""
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(value, stream, ensure_ascii=False, indent=1)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def working_folder(path: Path, what: str) -> Iterator[Path]:
    """A fresh folder beside `path` with a name that no reader takes for a finished one; removed when the block ends.

    Meanwhile `path` is locked. Raises InputError where another process is at work on it (see `lock.working_path`).
    """
    with working_path(path, what) as folder:
        folder.mkdir()
        yield folder


def refuse_to_replace(path: Path) -> None:
    """Raise InputError where something is at `path` already, a finished cell or anything else."""
    if (path / MANIFEST_FILE).exists():
        raise InputError(f"{path} is a finished cell already; remove it, or ask for overwriting")
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"{path} is in the way and is no finished cell; remove it, or ask for overwriting")


def put_in_place(folder: Path, path: Path, overwrite: bool = False) -> None:
    """Rename a finished `folder` to `path`. Raises InputError where something finished first in the meantime."""
    if overwrite and path.exists():
        old = folder.with_name(f"{folder.name}.old")  # of the names that the next process to work on `path` clears
        os.replace(path, old)
        shutil.rmtree(old, ignore_errors=True)
    try:
        os.replace(folder, path)
    except OSError as error:
        raise InputError(f"{path} was written by another process meanwhile ({error.strerror}); start again") from error


# --- reading --------------------------------------------------------------------------------------------------------
def find_cells(root: str | Path, task: str | None = None, split: str | None = None) -> list[Path]:
    """Folders of the finished cells below `root`, sorted; only those of `task` and `split` where these are given."""
    found = []
    for manifest in Path(root).glob(f"*/*/*/{MANIFEST_FILE}"):
        names = manifest.relative_to(root).parts[:3]
        wanted = (task is None or names[0] == task) and (split is None or names[1] == split)
        if wanted and names[0] != TOKENIZERS_FOLDER and not any(name.startswith(".") for name in names):
            found.append(manifest.parent)
    return sorted(found)


def open_cell(path: str | Path, verify: Literal["size", "sha256", "none"] = "size") -> Cell:
    """Open the finished cell at `path`, memory-mapped, after comparing its shards with the manifest.

    `verify` "size" compares file sizes and row counts, "sha256" re-hashes every byte, "none" looks only whether the
    files are there. Raises InputError for a missing, unfinished, cut or altered cell.
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
    dataset = tables[0] if len(tables) == 1 else datasets.concatenate_datasets(tables)
    if len(dataset) != manifest.rows or not manifest.rows:
        raise InputError(f"{path}: {len(dataset)} rows, the manifest says {manifest.rows}; build the cell again")
    return Cell(path=path, manifest=manifest, dataset=dataset)


def _open_shard(file: Path, shard: ShardInfo, manifest: Manifest) -> datasets.Dataset:
    """The rows of one file, memory-mapped; InputError where they are not what the manifest promises.

    Looks at the number columns and the bounds of the lists, a tenth of the file: bounds that lie would make a reader
    leave the file's memory. Token ids are looked at batch by batch (`Examples`), or by `verify`.
    """
    try:
        table = pa.ipc.open_stream(pa.memory_map(str(file))).read_all()
        fits = table.schema.equals(FEATURES.arrow_schema) and table.num_rows == shard.rows
        if fits:
            table.validate(full=True)
            dataset = datasets.Dataset.from_file(str(file))
    except Exception as error:  # damage surfaces as an error of Arrow, of the file system, or of datasets' own metadata
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{file} cannot be read as Arrow ({reason[:200]}); build the cell again") from None
    if not fits:
        raise InputError(f"{file}: {table.num_rows} rows of {', '.join(table.column_names)[:200]}, the manifest says "
                         f"{shard.rows} of {', '.join(FEATURES)}; build the cell again")
    lists = [chunk.values for name in ("first_ids", "second_ids") for chunk in table.column(name).chunks]
    if any(column.null_count for column in (*table.columns, *lists)):
        raise InputError(f"{file}: an entry is empty (null), expected numbers; build the cell again")
    largest = {"id": min(2**40, manifest.source_rows * (manifest.copies + 1)) - 1, "label": len(manifest.labels) - 1,
               "length": manifest.max_length}
    least = {"id": 0, "label": 0 if manifest.has_labels else -1, "length": SINGLE_SPECIAL_TOKENS}
    for name in largest if table.num_rows else ():
        values = table.column(name).to_numpy()
        if values.min() < least[name] or values.max() > largest[name]:
            raise InputError(f"{file}: {name} {values.min()}..{values.max()}, expected {least[name]}..{largest[name]}; "
                             "build the cell again")
    ids = table.column("id").to_numpy()
    if (np.diff(ids) <= 0).any() and len(np.unique(ids)) < len(ids):
        raise InputError(f"{file}: an id occurs twice; build the cell again")
    _check_keys(file, table, manifest)
    return dataset


def _check_keys(file: Path, table: pa.Table, manifest: Manifest) -> None:
    """InputError where a key is empty, does not fit into one field of a line, occurs twice, or is no row number."""
    keys, ids = table.column("key"), table.column("id")
    if pc.all(pc.equal(keys, ids.cast(pa.string()))).as_py() is not False:  # unique as the ids are
        return
    if manifest.keys == "row" and not manifest.copies:
        raise InputError(f"{file}: a key is not the row number, the manifest says that all are; build the cell again")
    odd = pc.any(pc.match_substring_regex(keys, KEY_CANNOT_HOLD)).as_py() or pc.min(pc.binary_length(keys)).as_py() == 0
    if odd or pc.max(pc.binary_length(keys)).as_py() > LONGEST_KEY:
        raise InputError(f"{file}: a key is empty, longer than {LONGEST_KEY} bytes, or holds a tab or a line break; "
                         "build the cell again")
    if pc.count_distinct(keys).as_py() < table.num_rows:
        raise InputError(f"{file}: a key occurs twice; build the cell again")


def check_shard(file: Path, shard: ShardInfo, verify: str) -> None:
    """Raise InputError where `file` is not what `shard` says, as far as `verify` asks for a look."""
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


def file_sha256(path: Path) -> str:
    """sha256 (hex) of a file, read in blocks."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
