"""Subsets of cells: origin cells by name, the draft of a subset's manifest, and writing.

Input: `TASK/SPLIT/LANGUAGE`, in which the language may be a comma list or `*`, and a mask over a cell's rows. Output:
the rows of the mask as a cell. Everything is checked before anything is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Console

import data_prep
from data_prep.base.errors import InputError
from data_prep.kinds import named_kind
from data_prep.planning import check_name, is_done
from data_prep.shards.manifest import NOT_CHOSEN, Manifest
from data_prep.shards.read import Cell, find_cells, open_cell
from data_prep.shards.write import write_cell
from data_prep.suggest import near_cell

BATCH_ROWS = 10_000


@dataclass(frozen=True)
class Subset:
    """One cell to write: its folder, the draft of its manifest, the cell it is taken from, and the rows it gets."""

    path: Path
    draft: Manifest
    origin: Cell
    rows: np.ndarray
    """(rows of the origin,) bool."""


def origin_cells(name: str, shards: str) -> list[Cell]:
    """The finished cells of `TASK/SPLIT/LANGUAGE` below `shards`; the language may be a comma list or `*`."""
    parts = name.strip("/").split("/")
    if len(parts) != 3 or not all(parts):
        raise InputError(f"{name}: expected TASK/SPLIT/LANGUAGE of a cell below --shards; the language may be a comma "
                         "list, or * for all")
    task, split, languages = parts
    there = {path.name: path for path in find_cells(shards, task, split)}
    wanted = list(there) if languages == "*" else languages.split(",")
    if missing := [language for language in wanted or ["*"] if language not in there]:
        raise InputError(f"{shards} has no finished cell {task}/{split}/{missing[0]}"
                         f"{near_cell(shards, f'{task}/{split}/{missing[0]}')}; languages of {task}/{split} "
                         f"there: {', '.join(there) or 'none'}")
    return [open_cell(there[language]) for language in dict.fromkeys(wanted)]


def title(cell: Cell) -> str:
    """Name of a cell, `task/split/language`."""
    return f"{cell.manifest.task}/{cell.manifest.split}/{cell.manifest.language}"


def subset_of(
    origin: Cell, name: str, split: str, how: str, rows: np.ndarray, left_out: Mapping[str, int]
) -> Subset:
    """The subset of `rows` (bool) as a cell of `<task>+<name>`, beside its origin.

    how: the settings in words. left_out: numbers of examples that were left out for a reason other than the choice.
    """
    check_name(name)
    of, ids = origin.manifest, origin.table.column("id").to_numpy()
    others = len(np.unique(ids)) - len(np.unique(ids[rows])) - sum(left_out.values())
    reasons = {reason: n for reason, n in {**left_out, NOT_CHOSEN: others}.items() if n}
    at_full_length = int((origin.table.column("length").to_numpy()[rows] == of.max_length).sum())
    draft = of.model_copy(update={
        "task": f"{of.task}+{name}", "split": split, "source": f"cell {title(origin)} + {how}",
        "source_sha256": of.rows_sha256, "revision": "", "skipped": {**of.skipped, **reasons}, "kept": {},
        "truncated": min(of.truncated, at_full_length), "rows_sha256": "", "shards": [],
        "data_prep_version": data_prep.__version__})
    return Subset(origin.path.parents[2] / draft.task / split / of.language, draft, origin, rows)


def write_subsets(subsets: Sequence[Subset], overwrite: bool, console: Console) -> None:
    """Write the subsets that are not finished. Raises InputError, before any is written, if one was made otherwise."""
    todo = [one for one in subsets if overwrite or not is_done(
        one.path, one.draft, partial(getattr, one.draft, "source_sha256"), console, "--name")]
    for one in todo:
        manifest = write_cell(one.path, one.draft, _batches(one), overwrite=overwrite)
        counts = ", ".join(f"{name} {n:,}" for name, n in manifest.label_counts.items())
        console.print(f"written  {one.path} ({manifest.extent}{f'; {counts}' if counts else ''})", soft_wrap=True)
        for reason, n in sorted(manifest.skipped.items()):
            console.print(f"         {n:,} rows left out: {reason}", soft_wrap=True)
    if not todo:
        console.print("nothing to do: every cell is finished")


def _batches(subset: Subset) -> Iterator[pa.Table]:
    start = 0
    for batch in subset.origin.table.to_batches(max_chunksize=BATCH_ROWS):
        mask = subset.rows[start : start + batch.num_rows]
        start += batch.num_rows
        if mask.any():
            table = pa.Table.from_batches([batch]).filter(pa.array(mask))
            named_kind(subset.draft.kind).validate(table, subset.draft)
            yield table


def drawn_order(keys: Sequence[str], *stream: int) -> np.ndarray:
    """Pseudo-random rank of each key, uint64: a function of the stream's numbers and the key alone."""
    prefix = hashlib.blake2b("/".join(map(str, stream)).encode() + b"/", digest_size=8)

    def rank(key: str) -> bytes:
        one = prefix.copy()
        one.update(key.encode())
        return one.digest()

    return np.frombuffer(b"".join(map(rank, keys)), dtype="<u8")
