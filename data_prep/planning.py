"""Plans of cells: settings of a build, the draft of a cell's manifest, and all checks that precede writing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path

from rich.console import Console

import data_prep
from data_prep.base.errors import InputError
from data_prep.kinds import named_kind
from data_prep.kinds.rows import TextBatch
from data_prep.languages import language_info
from data_prep.shards.columns import COLUMN_TYPES, cell_features
from data_prep.shards.manifest import (
    KEY_CANNOT_HOLD,
    LONGEST_KEY,
    MANIFEST_FILE,
    WRONG_COLUMNS,
    Manifest,
    TokenizerInfo,
    read_manifest,
)
from data_prep.shards.write import refuse_to_replace
from data_prep.sources.batches import Content
from data_prep.sources.find import Found, Reader
from data_prep.sources.revisions import Revisions
from data_prep.tasks.task import Task
from data_prep.workers import Augmenter

NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")  # of cells of `<task>+<name>`
LONGEST_COPY = 8  # bytes that an augmentation adds to a key: `#` and the number of the copy
SAME_SETTINGS = ("task", "kind", "labels", "metric", "further_metrics", "score_range", "language", "split",
                 "max_length", "copies", "drop_placeholders")


# (cell as split/language, its batches) -> the same batches, looked at before anything is written
Survey = Callable[[str, Iterable[TextBatch]], Iterator[TextBatch]]


@dataclass(frozen=True)
class Augmentation:
    """Augmentation: the name of its cells, copies per row, its settings in words, and its functions.

    With 0 copies each row is rewritten and keeps its id and key. `survey`, if any, is shown all rows of each cell.
    """

    name: str
    copies: int
    settings: str
    augment: Augmenter
    survey: Survey | None = None


@dataclass(frozen=True)
class Settings:
    """Settings of a build, the same for all its cells."""

    tokenizer: str
    out: Path
    max_length: int | None = None
    """None for each task's own."""
    workers: int = 0
    max_shard_mb: int = 256
    overwrite: bool = False
    drop_placeholders: bool = False
    augmentation: Augmentation | None = None

    @cached_property
    def pins(self) -> Revisions:
        """Commits of the hub's repositories that are used."""
        return Revisions(self.out, self.overwrite)

    def length(self, task: Task) -> int:
        """Longest input of a task's cells."""
        return task.max_length if self.max_length is None else self.max_length


@dataclass(frozen=True)
class Plan:
    """One cell to build: its folder, the draft of its manifest, and functions that read and hash its source."""

    path: Path
    draft: Manifest
    read: Reader
    source_sha256: Callable[[], str]
    rows: int | None = None
    survey: Callable[[Iterable[TextBatch]], Iterator[TextBatch]] | None = None


def check_name(name: str) -> None:
    """Raise InputError for a --name that cannot stand behind the task's in the names of cells."""
    if not NAME.fullmatch(name):
        raise InputError(f"--name {name!r}: expected up to 60 letters, digits, '_' or '-'")


def plan_cell(task: Task, cell: Found, settings: Settings, tokenizer: TokenizerInfo) -> Plan:
    """The plan of one cell of a source. Raises InputError if the kind refuses its labels, metric or tokenizer."""
    augmentation, kind = settings.augmentation, named_kind(task.kind)
    name = f"{task.name}+{augmentation.name}" if augmentation else task.name
    if not task.labels and any(COLUMN_TYPES[column].holds_labels for column in kind.columns.values()):
        raise InputError(f"{task.name}: its labels come with the data; name one file as --source with its --languages "
                         "and --splits, and its labels with --labels FILE, one per line")
    draft = Manifest(
        task=name, kind=task.kind, columns=dict(kind.columns), labels=list(task.labels),
        label_aliases=dict(task.aliases), metric=task.metric,
        further_metrics=list(task.further_metrics), score_range=task.score_range, language=cell.language,
        split=cell.split,
        parallel=cell.split in task.parallel and not (augmentation and augmentation.copies),
        label_tolerance=task.label_tolerance,
        max_length=settings.length(task), copies=augmentation.copies if augmentation else 0,
        drop_placeholders=settings.drop_placeholders and bool(task.placeholders),
        language_info=language_info(cell.language, cell.folder), tokenizer=tokenizer,
        source=cell.source + (f" + {augmentation.settings}" if augmentation else ""), revision=cell.revision,
        data_prep_version=data_prep.__version__)
    kind.validate(cell_features(draft.columns).arrow_schema.empty_table(), draft)
    survey = augmentation.survey if augmentation else None
    return Plan(settings.out / name / cell.split / cell.language, draft, cell.read, cache(cell.source_sha256),
                survey=partial(survey, f"{cell.split}/{cell.language}") if survey else None)


def is_done(
    path: Path, draft: Manifest, source_sha256: Callable[[], str], console: Console, other: str = "--out"
) -> bool:
    """True for a cell finished with the same settings and source; `other` is the flag that chooses another place.

    Raises InputError if either differs.
    """
    if not (path / MANIFEST_FILE).exists():
        refuse_to_replace(path)
        return False
    there = read_manifest(path)
    pairs = [(name, getattr(there, name), getattr(draft, name)) for name in SAME_SETTINGS]
    pairs.append(("tokenizer", there.tokenizer.fingerprint[:12], draft.tokenizer.fingerprint[:12]))
    for name, old, new in pairs:
        if old != new:
            raise InputError(f"{path} is finished with {name} {old}, but {new} was requested; "
                             f"add --overwrite, or choose another {other}")
    # a source may be moved; a file of another name, size or content is another source
    if there.source.rpartition("/")[2] != draft.source.rpartition("/")[2]:
        raise InputError(f"{path} is finished from {there.source}, but {draft.source} was requested; check --source, "
                         f"then add --overwrite, or choose another {other}")
    same_commit = there.revision and there.revision == draft.revision
    if not same_commit and there.source_sha256 != (content := source_sha256()):
        raise InputError(f"{path} is finished from other content of {draft.source} (sha256 "
                         f"{there.source_sha256[:12]} then, {content[:12]} now); add --overwrite, or choose another "
                         f"{other}")
    console.print(f"skipped  {path} (finished, {there.extent})", soft_wrap=True)
    return True


def checked(plan: Plan, console: Console) -> Plan:
    """The plan with its row count and hash, from one pass over the source, so that errors precede any writing."""
    skipped: Counter[str] = Counter()
    content, keys, rows = Content(), _Keys(), 0
    batches = plan.read(skipped, Counter(), content)
    for batch in plan.survey(batches) if plan.survey else batches:
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
