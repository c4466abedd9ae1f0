"""Inspect finished cells: re-hash them, with histograms of labels and lengths, or show a few decoded rows.

    python -m data_prep verify shards
    python -m data_prep peek shards/xnli/dev/en --rows 3

Input: cells. Output: the terminal; nothing is written. `verify` checks all cells, and ends with code 2 if one differs
from its manifest.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from data_prep.base.errors import InputError
from data_prep.kinds import named_kind
from data_prep.shards.columns import flat_values, label_values, of_type
from data_prep.shards.manifest import MANIFEST_FILE
from data_prep.shards.read import Cell, find_cells, open_cell
from data_prep.shards.rows_hash import RowsHash
from data_prep.shards.tokenizers import tokenizer_dir
from data_prep.tokenizer import load_tokenizer

BAR_CELLS = 40
LENGTH_BINS = 8


def verify(folder: str) -> None:
    """Re-hash every cell below a folder and show histograms of labels and lengths; exit code 2 on a mismatch.

    folder: the --out of `build`, or one cell.
    """
    console = Console(highlight=False)
    cells = _cells_below(Path(folder))
    broken: list[str] = []
    for path in track(cells, "hashing", console=console, transient=True, disable=not console.is_terminal):
        try:
            cell = open_cell(path, verify="sha256")
            named_kind(cell.manifest.kind).validate(cell.table, cell.manifest)
            _check_tokenizer(cell)
            counts, histogram, edges = _tallies(cell)
        except InputError as error:
            broken.append(str(error))
            console.print(f"[red]BAD[/red]  {escape(str(path))}: {escape(str(error))}", soft_wrap=True)
            continue
        console.print(f"ok   {escape(str(path))}: {cell.manifest.extent}, {len(cell.manifest.shards)} shard(s)",
                      soft_wrap=True)
        if counts:
            console.print(_histogram("label", list(counts.items())))
        names = [f"{low}-{high - 1}" for low, high in pairwise(edges)]
        console.print(_histogram("length", list(zip(names, histogram, strict=True))))
    console.print(f"{len(cells) - len(broken)} of {len(cells)} cells are whole")
    if broken:
        raise InputError(f"{len(broken)} of {len(cells)} cells below {folder} do not match their manifest, the first: "
                         f"{broken[0]}")


def peek(cell: str, rows: int = 5) -> None:
    """Show the first rows of a cell: gold answers, texts decoded from their ids, and the ids."""
    if rows < 1:
        raise InputError(f"--rows must be at least 1, found {rows}")
    console = Console(highlight=False)
    opened = open_cell(cell)
    manifest = opened.manifest
    kind = named_kind(manifest.kind)
    tokenizer = load_tokenizer(str(_tokenizer_of(opened)))
    console.print(f"{manifest.task} {manifest.split} {manifest.language}: {manifest.extent}, "
                  f"kind {manifest.kind}, tokenizer {manifest.tokenizer.fingerprint[:12]}", soft_wrap=True)
    for row in opened.table.slice(0, rows).to_pylist():
        for name in of_type(manifest.columns, "token_ids"):
            _check_ids(opened, name, np.array(row[name]))
        key = f" {escape(row['key'])}" if row["key"] != str(row["id"]) else ""
        console.print(f"\n[bold]{row['id']}[/bold]{key}  ({row['length']} tokens)")
        for line in kind.show(row, manifest, tokenizer).splitlines():
            console.print(f"  {escape(line)}", soft_wrap=True)


def _cells_below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected the --out of `build`")
    if (folder / MANIFEST_FILE).exists():
        return [folder]
    found = find_cells(folder)
    if not found:  # folder of one task or split
        found = sorted(file.parent for file in folder.glob(f"**/{MANIFEST_FILE}")
                       if not any(part.startswith(".") for part in file.relative_to(folder).parts))
    if not found:
        raise InputError(f"{folder}: no finished cells below it; run `python -m data_prep build`")
    return found


def _tokenizer_of(cell: Cell) -> Path:
    folder = tokenizer_dir(cell.path.absolute().parents[2], cell.manifest.tokenizer.fingerprint)
    if not folder.is_dir():
        raise InputError(f"{folder}: the tokenizer of {cell.path} is missing; copy it back or build again")
    return folder


def _check_tokenizer(cell: Cell) -> None:
    """Raise InputError if the cell's tokenizer is not beside it, or ids lie outside its vocabulary."""
    _tokenizer_of(cell)
    for name in of_type(cell.manifest.columns, "token_ids"):
        for chunk in cell.table.column(name).chunks:
            _check_ids(cell, name, chunk.flatten().to_numpy())


def _check_ids(cell: Cell, name: str, ids: np.ndarray) -> None:
    size = cell.manifest.tokenizer.vocab_size
    if ids.size and (ids.min() < 0 or ids.max() >= size):
        raise InputError(f"{cell.path}: {name} {ids.min()}..{ids.max()} outside a vocabulary of {size}; build the cell "
                         "again")


def _tallies(cell: Cell) -> tuple[dict[str, int], list[int], list[int]]:
    """Values per label, rows per length bin, and the bins' edges. Raises InputError if the manifest differs."""
    manifest, table = cell.manifest, cell.table
    content = RowsHash(manifest.columns)
    for batch in table.to_batches(max_chunksize=10_000):
        content.update(pa.Table.from_batches([batch]))
    if content.hexdigest() != manifest.rows_sha256:
        raise InputError(f"{cell.path}: the hash of its rows differs from the manifest's rows_sha256; build the cell "
                         "again")
    per_label = np.bincount(label_values(table, manifest.columns) + 1, minlength=1 + len(manifest.labels))
    per_length = np.bincount(flat_values(table, "length", many=False))
    counts = {name: int(per_label[i + 1]) for i, name in enumerate(manifest.labels)}
    if counts != manifest.label_counts:
        raise InputError(f"{cell.path}: labels {counts}, the manifest says {manifest.label_counts}; build it again")
    if per_label[0]:
        counts = {**{name: n for name, n in counts.items() if n}, "no label": int(per_label[0])}
    step = -(-(int(np.flatnonzero(per_length).max()) + 1) // LENGTH_BINS)
    edges = [step * i for i in range(LENGTH_BINS + 1)]
    return counts, [int(per_length[low:high].sum()) for low, high in pairwise(edges)], edges


def _histogram(title: str, bars: Sequence[tuple[str, int]]) -> Table:
    most = max((n for _, n in bars), default=1) or 1
    table = Table(box=None, padding=(0, 1), show_header=False)
    for position, (name, n) in enumerate(bars):
        table.add_row("     " + (title if position == 0 else ""), name, f"{n:,}", "█" * round(BAR_CELLS * n / most))
    return table
