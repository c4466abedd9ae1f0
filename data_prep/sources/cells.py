"""Rows of the files of one cell.

Input: a `CellSource`. Output: batches of rows. Text is taken as it comes: quotes, U+FEFF and control characters
inside, text that is not NFC. Blank lines before a row count as rows, which are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, zip_longest

from data_prep.base.errors import InputError
from data_prep.kinds.rows import GOLD_FIELDS, Record, TextBatch
from data_prep.shards.manifest import BLANK, WRONG_COLUMNS
from data_prep.sources.batches import Content, read_batches
from data_prep.sources.columns import Columns
from data_prep.sources.layouts import CellSource
from data_prep.sources.lines import BYTE_ORDER_MARK, read_lines, read_rows
from data_prep.sources.retrieval import (
    aligned_lines,
    answer_sentences,
    entity_mentions,
    identified_lines,
    unaligned_lines,
)
from data_prep.sources.sentences import read_sentences
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
    records = FORMATS[source.layout.format](source, task, skipped, content)
    unit = "question" if source.layout.format == "squad" else "line"
    yield from read_batches(records, task, skipped, f"{source.files[0]}, {unit}", source.language)


def _lines(
    source: CellSource, task: Task, skipped: Counter[str], content: Content
) -> Iterator[tuple[int, Record]]:
    """(line number, record) of unlabelled text, TAB between texts; rows are numbered through all files."""
    lines = chain.from_iterable(read_rows(file, content.new_hash()) for file in source.files)
    for row, line in enumerate(lines):
        content.rows = row + 1
        yield row + 1, Record(row, {"texts": line.split("\t")})


def _line_pairs(
    source: CellSource, task: Task, skipped: Counter[str], content: Content
) -> Iterator[tuple[int, Record]]:
    """(line number, record) of two files of which line i of one translates line i of the other.

    Raises InputError for files of unequal length.
    """
    lines = zip_longest(*(read_lines(file, content.new_hash()) for file in source.files))
    for row, texts in enumerate(lines):
        if None in texts:
            short = source.files[texts.index(None)]
            raise InputError(f"{short}: {row} lines, {source.files[texts[0] is None].name} has more; they are "
                             "translations of each other line by line: get both again")
        content.rows = row + 1
        yield row + 1, Record(row, {"texts": list(texts)})


def _labels_beside_jsonl(
    source: CellSource, task: Task, skipped: Counter[str], content: Content
) -> Iterator[tuple[int, Record]]:
    """(line number, record) of JSON Lines whose labels stand in a file of their own, the first, line by line.

    Raises InputError for files of unequal length.
    """
    labels = [line.strip() for line in read_rows(source.files[0], content.new_hash())]
    table = replace(source, files=source.files[1:], layout=replace(source.layout, format="jsonl", parts=()))
    for line, record in _table_rows(table, task, skipped, content):
        if record.row < len(labels):
            yield line, record._replace(values={**record.values, "label": labels[record.row]}, labelled=True)
    if content.rows != len(labels):
        raise InputError(f"{source.files[0]}: {len(labels)} labels, {source.files[1].name} has {content.rows} rows; "
                         "get both again")


def _table_rows(
    source: CellSource, task: Task, skipped: Counter[str], content: Content
) -> Iterator[tuple[int, Record]]:
    """(line number, record) of a table. The first row tells the number of columns and whether labels are given."""
    columns, rows = open_table(source.files[0], source.layout, source.split, content.new_hash())
    n_columns, key = columns.count, columns.key
    gold = [name for name in columns.at if name in GOLD_FIELDS]
    labelled: bool | None = None
    for line, (row, fields) in _own_rows(rows, columns, source):
        content.rows = row + 1
        if len(fields) == 1 and isinstance(fields[0], str) and not fields[0].strip():
            skipped[BLANK] += 1
            continue
        if not n_columns:
            n_columns = _first_row_columns(fields, columns, source, line, task)
        if len(fields) != n_columns:
            skipped[WRONG_COLUMNS] += 1
            continue
        values = {name: fields[at] if 0 <= at < n_columns else "" for name, at in columns.at.items()}
        for name in gold:
            if isinstance(values[name], str):
                values[name] = values[name].strip(f" {BYTE_ORDER_MARK}")
        if labelled is None:
            labelled = any(values[name] for name in gold)
        named = fields[key].strip(f" {BYTE_ORDER_MARK}") if 0 <= key < n_columns else None
        yield line, Record(row, values, labelled, named)


def _own_rows(
    rows: Iterator[tuple[int, list[str]]], columns: Columns, source: CellSource
) -> Iterator[tuple[int, tuple[int, list[str]]]]:
    """(line, (row number, fields)) of the cell's rows; in a file of several languages, numbered by language."""
    if columns.language < 0:
        yield from ((line, (row, fields)) for row, (line, fields) in enumerate(rows))
        return
    for line, row, language, fields in with_language(rows, columns.language):
        if language_code(language) == source.language:
            yield line, (row, fields)


def _first_row_columns(fields: Sequence[str], columns: Columns, source: CellSource, line: int, task: Task) -> int:
    """Number of columns, after a check against those of the layout, of which gold answers may be missing."""
    file, between = source.files[0], "commas" if source.layout.format == "csv" else "TAB"
    names = ["text" if name in ("first", "second") else name for name in columns.at]
    if is_header(fields) and source.layout.more_columns:
        raise InputError(f"{file}, line {line}: a header ({', '.join(fields)[:120]}), but --columns gives positions; "
                         "give the header's names")
    if is_header(fields):
        raise InputError(f"{file}, line {line}: a header ({', '.join(fields)[:120]}) in a file that should have none; "
                         f"remove the line ({task.name}'s files of this name hold {', '.join(names)} from the start)")
    most = 1 + max(columns.at.values())
    least = 1 + max(at for name, at in columns.at.items() if name not in GOLD_FIELDS)
    if not least <= len(fields) <= (len(fields) if source.layout.more_columns else most):
        numbers = f"{least} or {most}" if least < most else f"{most}"
        raise InputError(f"{file}, line {line}: {len(fields)} columns, expected {numbers} ({', '.join(names)}) with "
                         f"{between} between them")
    return len(fields)


FORMATS: dict[str, Callable[[CellSource, Task, Counter[str], Content], Iterator[tuple[int, Record]]]] = {
    "lines": _lines,
    "tsv": _table_rows,
    "csv": _table_rows,
    "jsonl": _table_rows,
    "labels_beside_jsonl": _labels_beside_jsonl,
    "line_pairs": _line_pairs,
    "aligned_lines": aligned_lines,
    "unaligned_lines": unaligned_lines,
    "identified_lines": identified_lines,
    "answer_sentences": answer_sentences,
    "entity_mentions": entity_mentions,
    "squad": _table_rows,
    "conll_tab": read_sentences,
    "conll_space": read_sentences,
    "conllu": read_sentences,
}
"""Readers by the `format` of a layout: (cell, task, counter of skipped rows, content) -> (line number, record)."""
