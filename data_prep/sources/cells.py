"""Rows of the files of one cell.

Input: a `CellSource`. Output: batches of rows. Text is taken as it comes: quotes, U+FEFF and control characters
inside, text that is not NFC. Blank lines before a row count as rows, which are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from data_prep.base.errors import InputError
from data_prep.kinds.rows import Record, TextBatch
from data_prep.shards.manifest import BLANK, WRONG_COLUMNS
from data_prep.sources.batches import Content, read_batches
from data_prep.sources.columns import Columns
from data_prep.sources.layouts import CellSource
from data_prep.sources.lines import BYTE_ORDER_MARK, read_rows
from data_prep.sources.tables import language_code, open_table, with_language
from data_prep.sources.tsv import is_header
from data_prep.tasks.task import Task


def read_cell(
    source: CellSource, task: Task, skipped: Counter[str], content: Content | None = None
) -> Iterator[TextBatch]:
    """Batches of the rows of `source`; `skipped` counts rows left out by reason, `content` counts and hashes all.

    Raises InputError, naming file and line, for bytes that are not UTF-8, a header without the columns, or a record
    that the task's kind refuses (a label outside the label set).
    """
    content = content or Content()
    records = _lines(source, content) if source.layout.lines else _table_rows(source, task, skipped, content)
    yield from read_batches(records, task, skipped, f"{source.files[0]}, line")


def _lines(source: CellSource, content: Content) -> Iterator[tuple[int, Record]]:
    """(line number, record) of unlabelled text, TAB between texts; rows are numbered through all files."""
    lines = chain.from_iterable(read_rows(file, content.new_hash()) for file in source.files)
    for row, line in enumerate(lines):
        content.rows = row + 1
        yield row + 1, Record(row, line.split("\t"))


def _table_rows(
    source: CellSource, task: Task, skipped: Counter[str], content: Content
) -> Iterator[tuple[int, Record]]:
    """(line number, record) of a table. The first row tells the number of columns and whether labels are given."""
    file, layout = source.files[0], source.layout
    columns, offset, rows = open_table(file, layout, source.split, content.new_hash())
    n_columns, label, key = columns.count, columns.label, columns.key
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
        name = fields[label].strip(f" {BYTE_ORDER_MARK}") if 0 <= label < n_columns else ""
        if labelled is None:
            labelled = bool(name)
        named = fields[key].strip(f" {BYTE_ORDER_MARK}") if 0 <= key < n_columns else None
        yield line, Record(row, (fields[columns.first], fields[columns.second]), name, labelled, named)


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
