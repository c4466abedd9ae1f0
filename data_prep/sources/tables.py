"""Tables of any format (`tsv`, `csv`, `jsonl`, `squad`) behind one function, and tables of several languages.

Rows are lists of fields, one per record of the file, so that row numbers are those of the source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from data_prep.base.errors import InputError
from data_prep.kinds.rows import GOLD_FIELDS
from data_prep.sources.archives import open_stream
from data_prep.sources.columns import Columns, alternatives, position
from data_prep.sources.csv import open_csv, split_fields
from data_prep.sources.jsonl import open_jsonl
from data_prep.sources.lines import BYTE_ORDER_MARK
from data_prep.sources.squad import open_squad
from data_prep.sources.tsv import open_tsv
from data_prep.tasks.task import LANGUAGE, Layout, Task

LONGEST_PEEK = 1 << 16
TABLES: dict[str, Callable[..., tuple[Columns, Iterator[tuple[int, Any]]]]] = {
    "tsv": open_tsv,
    "csv": open_csv,
    "jsonl": open_jsonl,
    "squad": open_squad,
}
"""Openers by the `format` of a layout."""


def open_table(file: Path, layout: Layout, split: str, sha256: Any = None) -> tuple[Columns, Iterator[tuple[int, Any]]]:
    """Columns of `file`, and (number of its first line, fields) of each row; a blank line is a row of one field.

    `sha256`, if given, is updated with the file's bytes as they are read. Raises InputError, naming file and line, for
    bytes that are not UTF-8, a wrong or missing header, or a line that is not a JSON object with the keys.
    """
    return TABLES[layout.format](file, layout, split, sha256)


def languages_in(file: Path, layout: Layout, split: str) -> list[str]:
    """The codes in the language column of `file`, once each.

    Raises InputError for a value that is not a language code, a row without one, or a file without rows.
    """
    columns, rows = open_table(file, layout, split)
    name, found = " or ".join(layout.language_column), dict[str, str]()
    for line, _, spelt, fields in with_language(rows, columns.language):
        if columns.language < len(fields) and not fields[columns.language].strip() and any(map(str.strip, fields)):
            raise InputError(f"{file}, line {line}: nothing in the column {name}; enter the row's language")
        if spelt not in found and not re.fullmatch(LANGUAGE, spelt):
            raise InputError(f"{file}, line {line}: {spelt!r} in the column {name} is not a language code; correct it")
        found[spelt] = language_code(spelt)
    if not found:
        raise InputError(f"{file}: no rows, expected rows of several languages; is it truncated?")
    return list(dict.fromkeys(found.values()))


def with_language(rows: Iterator[tuple[int, list[str]]], column: int) -> Iterator[tuple[int, int, str, list[str]]]:
    """(line, number among the rows of its language, language as spelt, fields) of every row.

    A row without a language, such as a blank line, goes with the row before it, at the start with the one after it.
    """
    numbers: dict[str, int] = {}
    language, waiting = "", list[tuple[int, list[str]]]()
    for line, fields in rows:
        language = (fields[column].strip() if column < len(fields) else "") or language
        waiting.append((line, fields))
        if language:
            for one in waiting:
                number = numbers[language] = numbers.get(language, -1) + 1
                yield one[0], number, language, one[1]
            waiting.clear()


def language_code(spelt: str) -> str:
    """Language code as cells spell it: elsewhere a hyphen stands between two languages."""
    return spelt.replace("-", "_")


def looks_like(file: Path, layout: Layout, task: Task) -> bool:
    """True if the first line of `file` fits `layout` and the labels of `task`; a guess, for messages only."""
    try:
        with open_stream(file) as stream:
            line = stream.readline(LONGEST_PEEK).decode("utf-8", "replace")
    except (OSError, InputError):
        return False
    line = line.removeprefix(BYTE_ORDER_MARK).rstrip("\r\n")
    fields = split_fields(line) if layout.format == "csv" else line.split("\t")
    given = [names for field, names in layout.columns.items() if field not in GOLD_FIELDS]
    if layout.format not in TABLES:  # of columns, as in tagged sentences, no more than its own, gold ones with labels
        at = [names for names in layout.columns.values() if isinstance(names, int)]
        gold = [layout.columns[field] for field in GOLD_FIELDS & layout.columns.keys()]
        return line.startswith("#") or not at or (len(fields) <= max(at) + 1 and all(
            fields[column].lower() in task.label_index for column in gold
            if isinstance(column, int) and column < len(fields)))
    if layout.format == "jsonl":
        return all(any(f'"{name}"' in line for name in alternatives(names)) for names in given)
    if layout.format == "squad":
        return '"data"' in line or '"version"' in line
    if layout.header:
        return all(position(fields, names) >= 0 for names in given)
    return len(fields) == 2 or (len(fields) == 3 and fields[2].strip().lower() in task.label_index)
