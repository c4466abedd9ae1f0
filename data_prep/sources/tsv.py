"""Tables with TAB between columns, with a header line or without. Quotes are text, never quoting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_prep.base.errors import InputError
from data_prep.kinds.rows import GOLD_FIELDS
from data_prep.sources.columns import Columns, alternatives, expected_columns, position
from data_prep.sources.lines import BYTE_ORDER_MARK, read_rows
from data_prep.tasks import TASKS
from data_prep.tasks.task import Layout


def open_tsv(file: Path, layout: Layout, split: str, sha256: Any = None) -> tuple[Columns, Iterator[tuple[int, Any]]]:
    """Columns of `file`, and (line number, fields) of its rows; a blank line is a row of one field.

    Raises InputError, naming file and line, for a header without the columns or a missing header.
    """
    rows = ((number, line.split("\t")) for number, line in enumerate(read_rows(file, sha256), start=1))
    if not layout.header:
        return numbered_columns(layout), rows
    return header_columns(next(rows, (1, [""]))[1], layout, split, file), rows


def numbered_columns(layout: Layout) -> Columns:
    """Columns of a table without a header."""
    positions = {name: at for name, at in layout.columns.items() if isinstance(at, int)}
    if len(positions) < len(layout.columns):
        raise TypeError(f"layout {layout.pattern!r} has no header, so its columns must be positions")
    return Columns(positions, key=layout.key if isinstance(layout.key, int) else -1)


def is_header(fields: Sequence[str]) -> bool:
    """True if a row is a header: it has two known column names or more, and its third field of three is no label."""
    names = [field.strip(f" {BYTE_ORDER_MARK}\"").lower() for field in fields]
    known = len(set(names) & COLUMN_NAMES)
    if len(names) > 3:
        return known >= 2
    spellings = {spelling for task in TASKS.values() for spelling in (*task.label_index, *task.no_consensus)}
    return known >= 2 and not (len(names) == 3 and names[2] in spellings)


def header_columns(header: list[str], layout: Layout, split: str, file: Path) -> Columns:
    """Positions of the columns by name; -1 for a label column that a test file lacks.

    Raises InputError for a header without the columns or a missing header.
    """
    found = {field: position(header, names) for field, names in layout.columns.items()}
    language = position(header, layout.language_column)
    wanted = expected_columns(layout)
    quoted = ", ".join(header)[:120]
    if not is_header(header) and max(*found.values(), language) < 0:
        raise InputError(f"{file}, line 1: expected a header with the columns {wanted}; found {quoted!r}")
    for field, at in (found | {"": language}).items():
        names = layout.columns[field] if field else layout.language_column
        absent = at < 0 and bool(names)
        if field in GOLD_FIELDS and split == "test" and not any(field in name.lower() for name in header):
            absent = False
        if absent:
            raise InputError(f"{file}, line 1: no column {' or '.join(alternatives(names))} in the header ({quoted}); "
                             f"expected columns: {wanted}")
    return Columns(found, language, position(header, layout.key), len(header))


# lower-case names that mark a header: those of all layouts, and other common names of the same columns
COLUMN_NAMES = frozenset(
    name.lower() for task in TASKS.values() for layout in task.layouts
    for names in (*layout.columns.values(), layout.language_column) for name in alternatives(names)
) | {"id", "index", "idx", "guid", "pairid", "pair_id", "promptid", "genre", "lang", "labels", "score", "text", "text1",
     "text2", "text_a", "text_b", "sentence_1", "sentence_2", "question1", "question2"}
