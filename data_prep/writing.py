"""Writing of planned cells, with a progress bar, a report per cell and a table at the end."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from data_prep.base.errors import InputError
from data_prep.kinds import named_kind
from data_prep.kinds.rows import TextBatch
from data_prep.planning import Plan
from data_prep.shards.manifest import PLACEHOLDER, Manifest
from data_prep.shards.write import write_cell
from data_prep.sources.batches import Content
from data_prep.workers import Mapper

MOST_LABELS = 20  # that the summary counts
PLACEHOLDER_FROM_ROWS = 20


@dataclass(frozen=True)
class Bar:
    """The progress bar of a build: in rows where its total is known beforehand, else (suites) in cells."""

    progress: Progress
    task: TaskID
    in_cells: bool

    def say(self, words: str, rows: int | None = None) -> None:
        """Name what is being done; `rows` are added to the total of a bar in rows."""
        total = None if rows is None or self.in_cells else (self.progress.tasks[0].total or 0) + rows
        self.progress.update(self.task, description=words, total=total)  # None leaves the total as it is

    def advance(self, rows: float, of_rows: int | None) -> None:
        """Count `rows` of a cell of `of_rows` as done; a cell that needs no work counts as one row of one."""
        self.progress.advance(self.task, rows / (of_rows or 1) if self.in_cells else rows)


@contextmanager
def progress_bar(console: Console, cells: int | None) -> Iterator[Bar]:
    """A bar of so many cells, or of rows if `cells` is None; hidden unless the console is a terminal."""
    count = TextColumn("{task.completed:.0f}/{task.total}") if cells is not None else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count,
               TextColumn("rows" if cells is None else "cells"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress, progress.add_task("", total=cells), cells is not None)


def write_planned(
    plan: Plan, encode: Mapper, max_shard_bytes: int, overwrite: bool, advance: Callable[[float], None]
) -> tuple[Manifest, Counter[str]]:
    """Write one cell; returns its manifest and the counts of its encoder. `advance` is told the rows that are done."""
    skipped, kept, counts, content = Counter[str](), Counter[str](), Counter[str](), Content()
    kind = named_kind(plan.draft.kind)

    def batches() -> Iterator[pa.Table]:
        for encoded in encode(_with_keys(plan, plan.read(skipped, kept, content))):
            counts.update(encoded.counts)
            kept.update(encoded.kept)
            advance(encoded.counts["rows"] / (plan.draft.copies + 1))
            kind.validate(encoded.table, plan.draft)
            yield encoded.table

    def closing() -> Mapping[str, Any]:
        if content.sha256 != plan.draft.source_sha256:
            raise InputError(f"{plan.draft.source} changed during the build; build again")
        return {"skipped": dict(skipped), "kept": dict(kept), "truncated": counts["truncated"]}

    return write_cell(plan.path, plan.draft, batches(), max_shard_bytes, closing, overwrite), counts


def _with_keys(plan: Plan, batches: Iterable[TextBatch]) -> Iterator[TextBatch]:
    """The batches with the name of their cell, without the publisher's keys if the plan uses row numbers."""
    cell = f"{plan.draft.split}/{plan.draft.language}"
    for batch in batches:
        yield replace(batch, keys=batch.keys if plan.draft.keys == "publisher" else [], cell=cell)


def report_cell(plan: Plan, manifest: Manifest, console: Console) -> None:
    """Print a line per finished cell, and a line per note on it."""
    console.print(f"written  {plan.path} ({manifest.extent})", soft_wrap=True)
    for reason, n in sorted(manifest.skipped.items()):
        console.print(f"         {n:,} rows left out: {reason}", soft_wrap=True)
    for reason, n in sorted(manifest.kept.items()):
        hint = " (--drop_placeholders leaves them out)" if reason == PLACEHOLDER else ""
        console.print(f"         {n:,} rows kept: {reason}{hint}", soft_wrap=True)
    present = [name for name, n in manifest.label_counts.items() if n]
    if manifest.has_labels and len(present) == 1 < len(manifest.labels) and manifest.rows >= PLACEHOLDER_FROM_ROWS:
        console.print(f"         warning: every row has the label {present[0]!r}; is it a placeholder?",
                      soft_wrap=True)


def summarise(written: Sequence[Manifest], console: Console) -> None:
    """Print a table of the written cells."""
    table = Table(title="built")
    for name in ("task", "split", "language"):
        table.add_column(name)
    for name in ("rows", "tokens", "mean length", "truncated", "left out", "shards"):
        table.add_column(name, justify="right")
    table.add_column("labels")
    for one in written:
        counts = [f"{name}:{n:,}" for name, n in one.label_counts.items()] if one.has_labels else ["none"]
        labels = " ".join(counts[:MOST_LABELS]) + (f" and {len(counts) - MOST_LABELS:,} more" if counts[MOST_LABELS:]
                                                   else "")
        table.add_row(one.task, one.split, one.language, f"{one.examples:,}", f"{one.tokens:,}",
                      f"{one.tokens / one.rows:.1f}", f"{one.truncated:,}", f"{sum(one.skipped.values()):,}",
                      str(len(one.shards)), labels)
    width = max(console.width, shutil.get_terminal_size().columns)
    (console if console.is_terminal else Console(width=max(width, 140), highlight=False)).print(table)
