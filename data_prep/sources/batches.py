"""From records of a source to batches of rows, through the task's kind, with a running hash of the source."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from data_prep.base.errors import InputError
from data_prep.kinds import named_kind
from data_prep.kinds.rows import Record, TextBatch
from data_prep.shards.manifest import PLACEHOLDER
from data_prep.tasks.task import Task

BATCH_ROWS = 1024
FEWEST_ROWS = 64  # of a last batch: kinds may draw from the other rows of a batch


@dataclass
class Content:
    """Row count and hash of a source, complete after one pass over it."""

    rows: int = 0
    """Rows of the publisher, those left out included."""
    hashes: list[Any] = field(default_factory=list)
    """A running SHA-256 per file, in the order of reading."""

    def new_hash(self) -> Any:
        """Add the running hash of one more file."""
        self.hashes.append(hashlib.sha256())
        return self.hashes[-1]

    @property
    def sha256(self) -> str:
        """Hash of all that was read, see `content_sha256`."""
        return content_sha256([one.hexdigest() for one in self.hashes])


def content_sha256(hashes: Sequence[str]) -> str:
    """One hash for a source: that of its only file, or over the hashes of its files in the order of reading."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def read_batches(
    records: Iterable[tuple[int, Record]], task: Task, skipped: Counter[str], where: str, language: str = ""
) -> Iterator[TextBatch]:
    """Batches of `BATCH_ROWS` rows from (number, record) pairs; `skipped` counts rows left out, by reason.

    A last batch of fewer than `FEWEST_ROWS` is joined to the one before it.

    language: of the cell; records are told it.

    Raises InputError for a record that the kind refuses, naming `where` and its number.
    """
    read, batch, waiting = named_kind(task.kind).read, TextBatch(), TextBatch()
    for number, record in records:
        try:
            values = record.values if task.adapt is None else task.adapt(dict(record.values))
            record = record._replace(values=values, language=language)
            row = read(record, task)
        except InputError as error:
            raise InputError(f"{where} {number}: {error}") from None
        if isinstance(row, str):
            skipped[row] += 1
            continue
        batch.add(*row)
        if len(waiting) and len(batch) >= min(FEWEST_ROWS, BATCH_ROWS):
            yield waiting
            waiting = TextBatch()
        if len(batch) >= BATCH_ROWS:
            waiting, batch = batch, TextBatch()
    if len(waiting):
        waiting.extend(batch)
        batch = waiting
    if len(batch):
        yield batch


def without_placeholders(
    batches: Iterable[TextBatch], task: Task, drop: bool, skipped: Counter[str], kept: Counter[str]
) -> Iterator[TextBatch]:
    """`batches`, with rows of a placeholder text counted: in `skipped` and left out if `drop`, else in `kept`."""
    for batch in batches:
        marked = [any(value.strip() in task.placeholders for value in row if isinstance(value, str))
                  for row in zip(*batch.columns.values(), strict=True)] if task.placeholders else []
        if any(marked):
            (skipped if drop else kept)[PLACEHOLDER] += sum(marked)
        if drop and any(marked):
            batch = batch.pick([at for at, found in enumerate(marked) if not found])
        if len(batch):
            yield batch
