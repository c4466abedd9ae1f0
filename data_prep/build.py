"""Build the cells of a task: raw files or the hub in, sharded and tokenised cells out.

Inputs: a task, a source, a tokenizer. Outputs: `<out>/<task>/<split>/<language>/` and the tokenizer beside them.
Everything is checked before anything is written (one more pass over the files, short beside tokenising them); finished
cells are skipped if the content of their source is unchanged.

    python -m data_prep build xnli --source data/xnli --tokenizer xlm-roberta-base --out shards --languages en,de
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import data_prep
from data_prep.base.errors import InputError
from data_prep.base.files import file_sha256
from data_prep.base.lock import held_beside
from data_prep.kinds import named_kind
from data_prep.kinds.rows import TextBatch
from data_prep.languages import language_info
from data_prep.shards.columns import cell_features
from data_prep.shards.manifest import (
    KEY_CANNOT_HOLD,
    LONGEST_KEY,
    MANIFEST_FILE,
    WRONG_COLUMNS,
    Manifest,
    TokenizerInfo,
    read_manifest,
)
from data_prep.shards.write import refuse_to_replace, write_cell
from data_prep.sources.batches import Content, content_sha256, without_placeholders
from data_prep.sources.cells import read_cell
from data_prep.sources.hub import describe_hub, hub_cells, load_hub_split, read_hub
from data_prep.sources.layouts import CellSource, choose, find_sources, named_task, split_list, unread_files
from data_prep.sources.tables import language_code
from data_prep.tasks import TASKS
from data_prep.tasks.task import Task
from data_prep.tokenizer import describe_tokenizer, keep_tokenizer, load_tokenizer
from data_prep.workers import Augmenter, Mapper, Work, mapper

SHORTEST_TEXTS = 4  # tokens of two texts that an input must have room for
PLACEHOLDER_FROM_ROWS = 20
LONGEST_COPY = 8  # bytes that an augmentation adds to a key: `#` and the number of the copy
MEGABYTE = 1024 * 1024
SAME_SETTINGS = ("task", "kind", "labels", "metric", "further_metrics", "language", "split", "max_length", "copies",
                 "drop_placeholders")

# batches of a source's rows; counts by reason the rows that are left out, and those that are kept but deserve a note
Reader = Callable[[Counter[str], Counter[str], Content], Iterator[TextBatch]]


@dataclass(frozen=True)
class Augmentation:
    """Augmentation: its name, copies per row, its settings in words, and its function."""

    name: str
    copies: int
    settings: str
    augment: Augmenter


@dataclass(frozen=True)
class Plan:
    """One cell to build: its folder, the draft of its manifest, and functions that read and hash its source."""

    path: Path
    draft: Manifest
    read: Reader
    source_sha256: Callable[[], str]
    rows: int | None = None


def build(
    task: str, source: str, tokenizer: str, out: str, languages: str | None = None, splits: str | None = None,
    max_length: int = 128, workers: int = 0, max_shard_mb: int = 256, overwrite: bool = False,
    drop_placeholders: bool = False,
) -> None:
    """Build tokenised cells of a task from its publisher's files, from XTREME's layout, or from the hub.

    source: `hub`, `hub:REPOSITORY` (a mirror, or a folder laid out like the hub's repository), or a folder of files.
    tokenizer: a folder or a name on the hub. languages, splits: comma lists; by default all that the source has.
    max_length: of a model input, special tokens included. workers: processes, 0 for one per core.
    drop_placeholders: leave out rows with the publishers' placeholder for a missing text (pawsx: NS).
    A finished cell with the same settings and source content is skipped; one that differs is an error without
    --overwrite. A cell that another process is building is always an error.
    """
    build_cells(task, source, tokenizer, out, languages, splits, max_length, workers, max_shard_mb, overwrite,
                drop_placeholders=drop_placeholders)


def build_cells(
    task: str, source: str, tokenizer: str, out: str, languages: str | None, splits: str | None, max_length: int,
    workers: int, max_shard_mb: int, overwrite: bool, augmentation: Augmentation | None = None,
    drop_placeholders: bool = False,
) -> Counter[str]:
    """Build the cells of a task, augmented or not; returns the counts summed over the written cells."""
    console = Console(highlight=False)
    declared, root = named_task(task), Path(out)
    _check_least(workers=(workers, 0), max_shard_mb=(max_shard_mb, 1))
    if drop_placeholders and not declared.placeholders:
        raise InputError(f"--drop_placeholders: {task} has no placeholder texts; tasks with some: "
                         f"{', '.join(one.name for one in TASKS.values() if one.placeholders)}; omit the flag")
    for folder in (root, *root.parents):
        if folder.exists() and not folder.is_dir():
            raise InputError(f"--out {out}: {folder} is a file; choose a folder")
    cells, unread = _cells(declared, source, split_list(languages, "languages"), split_list(splits, "splits"),
                           drop_placeholders)
    loaded = load_tokenizer(tokenizer)
    described = describe_tokenizer(loaded, tokenizer)
    _check_least(max_length=(max_length, described.template.frames[1].specials + SHORTEST_TEXTS))
    plans = [_plan(declared, root, cell, described, max_length, augmentation, drop_placeholders) for cell in cells]
    todo = [plan for plan in plans if overwrite or not _is_done(plan, console)]
    if unread:
        console.print(unread, soft_wrap=True, markup=False)
    with ExitStack() as locks:
        for plan in sorted(todo, key=lambda plan: plan.path):  # a fixed order, so that one of two processes gets all
            locks.enter_context(held_beside(plan.path, "augment" if augmentation else "build"))
        todo = [plan for plan in todo if overwrite or not _is_done(plan, console)]  # or just finished by another
        if not todo:
            console.print("nothing to do: every cell is finished")
            return Counter()
        with console.status("checking the source"):
            todo = [_checked(plan, console) for plan in todo]
        keep_tokenizer(root, loaded, described.fingerprint)
        work = Work(declared.kind, loaded.backend_tokenizer, max_length, described.template,
                    augmentation.augment if augmentation else None)
        counts = [plan.rows for plan in todo]
        rows = None if None in counts else sum(n for n in counts if n is not None)
        with mapper(work, workers, rows) as encode:
            totals, written = _write(todo, encode, rows, max_shard_mb * MEGABYTE, overwrite, console)
    _summarise(written, console)
    return totals


# --- planning -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Found:
    """One cell of a source: its names, a description for the manifest, and functions that read and hash it."""

    split: str
    language: str
    source: str
    read: Reader
    source_sha256: Callable[[], str]
    rows: int | None = None


def _cells(
    task: Task, source: str, languages: Sequence[str] | None, splits: Sequence[str] | None, drop: bool
) -> tuple[list[_Found], str]:
    """The requested cells of `source`, and a line that lists the files of a folder that are not read, or ""."""
    place, _, repo = source.partition(":")
    if place == "hub":
        repo = repo or (task.hub.repo if task.hub else "")
        chosen = choose(hub_cells(task, repo, languages, splits), languages, splits, source)
        return [_hub_cell(task, repo, split, language, drop) for split, language in chosen], ""
    found = find_sources(task, source)
    chosen = choose([(cell.split, cell.language) for cell in found], languages, splits, source)
    cells = [_file_cell(task, cell, drop) for cell in found if (cell.split, cell.language) in chosen]
    return cells, unread_files(task, source, found)


def _file_cell(task: Task, cell: CellSource, drop: bool) -> _Found:
    def read(skipped: Counter[str], kept: Counter[str], content: Content) -> Iterator[TextBatch]:
        return without_placeholders(read_cell(cell, task, skipped, content), task, drop, skipped, kept)

    return _Found(cell.split, cell.language, cell.describe(), read,
                  lambda: content_sha256([file_sha256(file) for file in cell.files]))


def _hub_cell(task: Task, repo: str, split: str, language: str, drop: bool) -> _Found:
    data = load_hub_split(task, repo, split, language)
    name = describe_hub(task, repo, split, language)

    def read(skipped: Counter[str], kept: Counter[str], content: Content) -> Iterator[TextBatch]:
        return without_placeholders(read_hub(data, task, name, skipped, content), task, drop, skipped, kept)

    def source_sha256() -> str:
        content = Content()
        for _ in read(Counter(), Counter(), content):
            pass
        return content.sha256

    return _Found(split, language_code(language), name, read, source_sha256, len(data))


def _plan(
    task: Task, root: Path, cell: _Found, tokenizer: TokenizerInfo, max_length: int,
    augmentation: Augmentation | None, drop_placeholders: bool,
) -> Plan:
    name = f"{task.name}+{augmentation.name}" if augmentation else task.name
    kind = named_kind(task.kind)
    draft = Manifest(
        task=name, kind=task.kind, columns=dict(kind.columns), labels=list(task.labels),
        label_aliases=dict(task.aliases), metric=task.metric,
        further_metrics=list(task.further_metrics), language=cell.language, split=cell.split,
        parallel=cell.split in task.parallel and augmentation is None, label_tolerance=task.label_tolerance,
        max_length=max_length, copies=augmentation.copies if augmentation else 0, drop_placeholders=drop_placeholders,
        language_info=language_info(cell.language), tokenizer=tokenizer,
        source=cell.source + (f" + {augmentation.settings}" if augmentation else ""),
        data_prep_version=data_prep.__version__)
    kind.validate(cell_features(draft.columns).arrow_schema.empty_table(), draft)
    return Plan(root / name / cell.split / cell.language, draft, cell.read, cache(cell.source_sha256), cell.rows)


def _is_done(plan: Plan, console: Console) -> bool:
    """Whether the cell is finished with the same settings and source. Raises InputError if either differs."""
    if not (plan.path / MANIFEST_FILE).exists():
        refuse_to_replace(plan.path)
        return False
    there = read_manifest(plan.path)
    pairs = [(name, getattr(there, name), getattr(plan.draft, name)) for name in SAME_SETTINGS]
    pairs.append(("tokenizer", there.tokenizer.fingerprint[:12], plan.draft.tokenizer.fingerprint[:12]))
    # a source may be moved; a file of another name, size or content is another source
    pairs.append(("source", there.source.rpartition("/")[2], plan.draft.source.rpartition("/")[2]))
    for name, old, new in pairs:
        if old != new:
            raise InputError(f"{plan.path} is finished with {name} {old}, but {new} was requested; "
                             "add --overwrite, or choose another --out")
    if there.source_sha256 != (content := plan.source_sha256()):
        raise InputError(f"{plan.path} is finished from other content of {plan.draft.source} (sha256 "
                         f"{there.source_sha256[:12]} then, {content[:12]} now); add --overwrite, or choose another "
                         "--out")
    console.print(f"skipped  {plan.path} (finished, {there.rows:,} rows)", soft_wrap=True)
    return True


def _checked(plan: Plan, console: Console) -> Plan:
    """The plan with its row count and hash, from one pass over the source, so that errors precede any writing."""
    skipped: Counter[str] = Counter()
    content, keys, rows = Content(), _Keys(), 0
    for batch in plan.read(skipped, Counter(), content):
        rows += len(batch)
        keys.add(batch)
    if not rows:
        reasons = ", ".join(f"{n} {reason}" for reason, n in skipped.items()) or "it is empty"
        raise InputError(f"{plan.draft.source}: no rows to build from ({reasons})")
    if skipped[WRONG_COLUMNS] > rows:
        raise InputError(f"{plan.draft.source}: {skipped[WRONG_COLUMNS]} rows have another number of "
                         f"columns than the first row, {rows} have the same; check that it is the right file")
    if keys.fault:
        console.print(f"keys     {plan.path}: row numbers are used instead of the publisher's keys: {keys.fault}",
                      soft_wrap=True)
    draft = plan.draft.model_copy(update={
        "keys": "publisher" if keys.found and not keys.fault else "row", "source_rows": content.rows,
        "source_sha256": content.sha256})
    return replace(plan, draft=draft, rows=rows)


class _Keys:
    """The publisher's keys of one source, and the first fault in them."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.fault = ""

    def add(self, batch: TextBatch) -> None:
        """Check the keys of the next batch, up to the first that cannot be used."""
        for row, key in zip(batch.ids, batch.keys, strict=False):
            if self.fault:
                return
            if not key or len(key.encode()) > LONGEST_KEY - LONGEST_COPY or re.search(KEY_CANNOT_HOLD, key):
                what = "has none" if not key else f"has the key {key[:40]!r}, too long or with a tab or a line break"
                self.fault = f"row {row} {what}"
            elif key in self.found:
                self.fault = f"row {row} has the key {key!r} of another row"
            self.found.add(key)


def _check_least(**flags: tuple[int, int]) -> None:
    """Raise InputError for a flag below its least value; flags are (value, least)."""
    for flag, (value, least) in flags.items():
        if value < least:
            raise InputError(f"--{flag} must be at least {least}, found {value}")


# --- writing --------------------------------------------------------------------------------------------------------
def _write(
    plans: Iterable[Plan], encode: Mapper, rows: int | None, max_shard_bytes: int, overwrite: bool, console: Console
) -> tuple[Counter[str], list[Manifest]]:
    totals: Counter[str] = Counter()
    written = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"),
               TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=rows)
        for plan in plans:
            progress.update(bar, description="/".join(plan.path.parts[-3:]))
            manifest, counts = _write_one(plan, encode, max_shard_bytes, overwrite, partial(progress.advance, bar))
            written.append(manifest)
            totals.update(counts)
            _report(plan, manifest, console)
    return totals, written


def _write_one(
    plan: Plan, encode: Mapper, max_shard_bytes: int, overwrite: bool, advance: Callable[[float], None]
) -> tuple[Manifest, Counter[str]]:
    """Write one cell; returns its manifest and the counts of its encoder. `advance` is told the rows that are done."""
    skipped, kept, counts, content = Counter[str](), Counter[str](), Counter[str](), Content()
    kind = named_kind(plan.draft.kind)

    def batches() -> Iterator[pa.Table]:
        for encoded in encode(_with_keys(plan, plan.read(skipped, kept, content))):
            counts.update(encoded.counts)
            advance(encoded.counts["rows"] / (plan.draft.copies + 1))
            kind.validate(encoded.table, plan.draft)
            yield encoded.table

    def closing() -> Mapping[str, Any]:
        if content.sha256 != plan.draft.source_sha256:
            raise InputError(f"{plan.draft.source} changed during the build; build again")
        return {"skipped": dict(skipped), "kept": dict(kept), "truncated": counts["truncated"]}

    return write_cell(plan.path, plan.draft, batches(), max_shard_bytes, closing, overwrite), counts


def _with_keys(plan: Plan, batches: Iterable[TextBatch]) -> Iterator[TextBatch]:
    """The batches, without the publisher's keys if the plan uses row numbers."""
    for batch in batches:
        yield batch if plan.draft.keys == "publisher" else replace(batch, keys=[])


def _rows(manifest: Manifest) -> str:
    """Number of rows in words; windows are told apart from the rows that they are cut from."""
    windows = f" in {manifest.rows:,} windows" if manifest.further_windows else ""
    return f"{manifest.examples:,} rows{windows}"


def _report(plan: Plan, manifest: Manifest, console: Console) -> None:
    """Print a line per finished cell, and a line per note on it."""
    console.print(f"written  {plan.path} ({_rows(manifest)})", soft_wrap=True)
    for reason, n in sorted(manifest.skipped.items()):
        console.print(f"         {n:,} rows left out: {reason}", soft_wrap=True)
    for reason, n in sorted(manifest.kept.items()):
        console.print(f"         {n:,} rows kept: {reason} (--drop_placeholders leaves them out)", soft_wrap=True)
    present = [name for name, n in manifest.label_counts.items() if n]
    if manifest.has_labels and len(present) == 1 < len(manifest.labels) and manifest.rows >= PLACEHOLDER_FROM_ROWS:
        console.print(f"         warning: every row has the label {present[0]!r}; is it a placeholder?",
                      soft_wrap=True)


def _summarise(written: Sequence[Manifest], console: Console) -> None:
    table = Table(title="built")
    for name in ("task", "split", "language"):
        table.add_column(name)
    for name in ("rows", "tokens", "mean length", "truncated", "left out", "shards"):
        table.add_column(name, justify="right")
    table.add_column("labels")
    for one in written:
        labels = " ".join(f"{name}:{n:,}" for name, n in one.label_counts.items()) if one.has_labels else "none"
        table.add_row(one.task, one.split, one.language, f"{one.rows:,}", f"{one.tokens:,}",
                      f"{one.tokens / one.rows:.1f}", f"{one.truncated:,}", f"{sum(one.skipped.values()):,}",
                      str(len(one.shards)), labels)
    width = max(console.width, shutil.get_terminal_size().columns)
    (console if console.is_terminal else Console(width=max(width, 140), highlight=False)).print(table)
