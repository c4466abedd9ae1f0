"""Files of texts to predict: tables with TAB between columns, and JSON Lines; also from standard input.

A table has a header line that names the columns, or else a text, perhaps a second text, and perhaps a language, in this
order; a last column of labels or scores only, as publishers' files have it, is not read. Blank lines are left out and
counted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.base.errors import InputError
from data_prep.kinds.rows import GOLD_FIELDS
from data_prep.sources.jsonl import parse_object
from data_prep.sources.lines import read_lines
from trainer.predict.rows import LANGUAGE, TEXT, TEXT_PAIR, Rows

STDIN = "-"
JSON_LINES = (".jsonl", ".ndjson", ".json")


@dataclass
class Lines:
    """Rows of a file."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    """File and line of each row, for messages."""
    notes: list[str] = field(default_factory=list)
    """What was left out."""


def read_texts(source: str, rows: Rows) -> Lines:
    """The rows of the file `source`, "-" for standard input. Raises InputError for a missing, empty or unreadable one,
    and for a line that is no row of the file's format."""
    name = "standard input" if source == STDIN else source
    if source != STDIN and not Path(source).is_file():
        raise InputError(f"--file {source}: no such file; expected a .tsv or .jsonl file, or - for standard input")
    numbered = list(enumerate(_stdin() if source == STDIN else read_lines(Path(source)), start=1))
    lines = [(number, line) for number, line in numbered if line.strip()]
    if not lines:
        raise InputError(f"{name} holds no text; expected one per line")
    found = Lines()
    if blank := _blank_before_the_end(numbered):
        found.notes.append(f"{name}: {blank} blank lines left out")
    is_json = Path(source).suffix.lower() in JSON_LINES or (source == STDIN and lines[0][1].lstrip().startswith("{"))
    given = _objects(name, lines) if is_json else _table(name, lines, rows)
    wanted = {alias for alias, of in rows.names.items() if of not in GOLD_FIELDS} | {LANGUAGE}
    others: dict[str, None] = {}
    for number, row in given:
        found.rows.append({key: value for key, value in row.items() if key in wanted})
        found.where.append(f"{name}, line {number}")
        others |= dict.fromkeys(key for key in row if key not in wanted)
    if others:
        found.notes.append(f"{name}: not read: {', '.join(others)[:200]}")
    if not found.rows:
        raise InputError(f"{name} holds a header line and no text")
    return found


def _objects(name: str, lines: list[tuple[int, str]]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in lines:
        yield number, parse_object(line, f"{name}, line {number}", f'such as {{"{TEXT}": "..."}}')


def _table(name: str, lines: list[tuple[int, str]], rows: Rows) -> Iterator[tuple[int, dict[str, Any]]]:
    header = lines[0][1].split("\t")
    named = rows.fields[0] in {rows.names.get(column) for column in header}
    if named:
        lines = lines[1:]
        if len(set(header)) < len(header):
            raise InputError(f"{name}, line 1: a column occurs twice")
    elif len(rows.fields) > 2:
        raise InputError(f"{name}: no column {rows.fields[0]!r} in line 1, {', '.join(header)[:120]!r}; give a header "
                         f"line with {', '.join(rows.fields[:5])}, or a .jsonl file")
    columns = header if named else [TEXT, TEXT_PAIR, LANGUAGE]
    if not named and (rows.texts == 1 or len(rows.fields) == 1):
        columns = [TEXT, LANGUAGE]
    last = [values[-1] for _, line in lines if len(values := line.split("\t")) == len(columns)]
    if not named and last and all(map(rows.is_gold, last)):  # as in publishers' files
        columns = [*columns[:-1], next(name for name in rows.kind.fields if name in GOLD_FIELDS)]
    for number, line in lines:
        values = line.split("\t")
        if len(values) > len(columns):
            raise InputError(f"{name}, line {number}: {len(values)} columns, expected {', '.join(columns)}"
                             f"{'' if named else '; name other columns in a header line'}")
        yield number, dict(zip(columns, values, strict=False))


def _blank_before_the_end(numbered: list[tuple[int, str]]) -> int:
    texts = [bool(line.strip()) for _, line in numbered]
    last = max(place for place, text in enumerate(texts) if text)
    return texts[:last].count(False)


def _stdin() -> Iterator[str]:
    try:
        text = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"standard input: byte {error.start} is not UTF-8") from None
    yield from (line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n"))
