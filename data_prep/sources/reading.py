"""Read benchmark files row by row, quirks and all, into small batches of text.

Input: the files of one cell. Output: `TextBatch`es of at most `BATCH_ROWS` rows; rows left out are counted by reason.

What is taken as it comes: quotes (text, never quoting), CRLF and LF in one file, a byte-order mark at the start,
U+FEFF and control characters inside, text that is not NFC, a missing newline at the end. Lines end at LF alone, since
other characters that Python takes for line ends occur inside sentences. Blank lines at the end of a file are no rows;
those before a row are counted as rows, which are left out.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from data_prep.base.errors import InputError
from data_prep.shards.manifest import (
    BLANK,
    EMPTY,
    MORE_TEXTS,
    NO_CONSENSUS,
    NO_LABEL_GIVEN,
    PLACEHOLDER,
    WRONG_COLUMNS,
)
from data_prep.sources.layouts import CellSource
from data_prep.sources.tables import (
    BYTE_ORDER_MARK,
    Columns,
    is_header,
    language_code,
    open_table,
    read_rows,
    with_language,
)
from data_prep.tasks import TASKS
from data_prep.tasks.task import Task, label_indices

BATCH_ROWS = 1024
NO_LABEL = -1


@dataclass
class TextBatch:
    """Rows as text: number in the source, the two texts (the second may be empty), label index or -1, key if any."""

    ids: list[int] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    second: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    """The publisher's keys, one per row; empty where the source has none."""

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, row: int, first: str, second: str, label: int, key: str | None = None) -> None:
        self.ids.append(row)
        self.first.append(first)
        self.second.append(second)
        self.labels.append(label)
        if key is not None:
            self.keys.append(key)

    def pick(self, places: Sequence[int]) -> TextBatch:
        """The rows at these places of the batch."""
        return TextBatch(*([column[at] for at in places] if column else [] for column in vars(self).values()))


@dataclass
class Content:
    """What one pass over a source saw of it; whole once the pass has come to its end."""

    rows: int = 0
    """Rows of the publisher, those left out included."""
    hashes: list[Any] = field(default_factory=list)
    """A running sha256 per file, in the order of reading."""

    def new_hash(self) -> Any:
        self.hashes.append(hashlib.sha256())
        return self.hashes[-1]

    @property
    def sha256(self) -> str:
        """Hash of all that was read, see `content_sha256`."""
        return content_sha256([one.hexdigest() for one in self.hashes])


def content_sha256(hashes: Sequence[str]) -> str:
    """One hash for a source: that of its only file, or over the hashes of its files in the order of reading."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def read_cell(
    source: CellSource, task: Task, skipped: Counter[str], content: Content | None = None
) -> Iterator[TextBatch]:
    """Batches of the rows of `source`; `skipped` counts the rows left out, by reason, as they are met.

    `content`, where given, counts all rows and hashes the files on the way. Raises InputError, naming file and line,
    for bytes that are not UTF-8, a header without the columns, or a label outside the label set.
    """
    batch, content = TextBatch(), content or Content()
    rows = _text_rows(source, skipped, content) if source.layout.lines else _pair_rows(source, task, skipped, content)
    for row in rows:
        batch.add(*row)
        if len(batch) >= BATCH_ROWS:
            yield batch
            batch = TextBatch()
    if len(batch):
        yield batch


def without_placeholders(
    batches: Iterable[TextBatch], task: Task, drop: bool, skipped: Counter[str], kept: Counter[str]
) -> Iterator[TextBatch]:
    """`batches`, with rows of a placeholder text counted: in `skipped` and left out if `drop`, else in `kept`."""
    for batch in batches:
        marked = [first.strip() in task.placeholders or second.strip() in task.placeholders
                  for first, second in zip(batch.first, batch.second, strict=True)]
        if any(marked):
            (skipped if drop else kept)[PLACEHOLDER] += sum(marked)
        if drop and any(marked):
            batch = batch.pick([at for at, found in enumerate(marked) if not found])
        if len(batch):
            yield batch


def not_a_label(label: object, task: Task) -> str:
    """What to say of a label that `task` lacks: its own labels, and the tasks that have it."""
    others = [other.name for other in TASKS.values() if str(label).strip().lower() in label_indices(other)]
    hint = f", but of {', '.join(others)}" if others else ""
    return f"label {label!r} is not one of {', '.join(task.labels)} ({task.name}){hint}"


def _text_rows(source: CellSource, skipped: Counter[str], content: Content) -> Iterator[tuple[int, str, str, int]]:
    """Rows of unlabelled text, numbered through all files; a TAB with nothing on one side of it is no pair."""
    lines = chain.from_iterable(read_rows(file, content.new_hash()) for file in source.files)
    for row, line in enumerate(lines):
        content.rows = row + 1
        first, _, rest = line.partition("\t")
        second, more, _ = rest.partition("\t")
        if not line.strip():
            skipped[BLANK] += 1
        elif more:
            skipped[MORE_TEXTS] += 1
        elif not first.strip():
            yield row, second, "", NO_LABEL
        else:
            yield row, first, second if second.strip() else "", NO_LABEL


def _pair_rows(
    source: CellSource, task: Task, skipped: Counter[str], content: Content
) -> Iterator[tuple[int, str, str, int, str | None]]:
    """Rows of a file of columns. The first row decides how many columns a row has and whether labels are given."""
    file, layout = source.files[0], source.layout
    columns, offset, rows = open_table(file, layout, source.split, content.new_hash())
    n_columns, label, key = columns.count, columns.label, columns.key
    index, doubtful = label_indices(task), set(task.no_consensus)
    labelled: bool | None = None
    for line, (row, fields) in _own_rows(rows, columns, source, offset):
        content.rows = row + 1
        if len(fields) == 1 and not fields[0].strip():
            skipped[BLANK] += 1
            continue
        if not n_columns:
            n_columns = _first_row_columns(fields, file, line, task)
        if len(fields) != n_columns:
            skipped[WRONG_COLUMNS] += 1
            continue
        first, second = fields[columns.first], fields[columns.second]
        name = fields[label].strip(f" {BYTE_ORDER_MARK}").lower() if 0 <= label < n_columns else ""
        if labelled is None:
            labelled = bool(name)
        if name in doubtful:
            skipped[NO_CONSENSUS] += 1
        elif not name and labelled:
            skipped[NO_LABEL_GIVEN] += 1
        elif name and not labelled:
            raise InputError(f"{file}, line {line}: a label {name!r} in a file whose first row has none; "
                             "give all rows a label, or none")
        elif name and name not in index:
            raise InputError(f"{file}, line {line}: {not_a_label(fields[label], task)}; correct it, "
                             "remove the row, or name the task of the file")
        elif not first.strip() and not second.strip():
            skipped[EMPTY] += 1
        else:
            named = fields[key].strip(f" {BYTE_ORDER_MARK}") if 0 <= key < n_columns else None
            yield row, first, second, index[name] if labelled else NO_LABEL, named


def _own_rows(
    rows: Iterator[list[str]], columns: Columns, source: CellSource, offset: int
) -> Iterator[tuple[int, tuple[int, list[str]]]]:
    """(line, (row number, fields)) of the cell's rows; in a file of several languages, numbered by language."""
    if columns.language < 0:
        yield from enumerate(enumerate(rows), start=offset)
        return
    for line, (row, language, fields) in enumerate(with_language(rows, columns.language), start=offset):
        if language_code(language) == source.language:
            yield line, (row, fields)


def _first_row_columns(fields: Sequence[str], file: Path, line: int, task: Task) -> int:
    if is_header(fields):
        raise InputError(f"{file}, line {line}: a header ({', '.join(fields)[:120]}) in a file that should have none; "
                         f"remove the line ({task.name}'s files of this name hold text, text, label from the start)")
    if len(fields) not in (2, 3):
        raise InputError(f"{file}, line {line}: {len(fields)} columns, expected 2 or 3 (text, text, label) with TAB "
                         "between them")
    return len(fields)
