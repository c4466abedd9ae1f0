"""Columns and rows of benchmark files: tables with TAB between columns, with or without a header, and JSON Lines.

Input: a file and the layout that it should have. Output: the positions of its columns and its rows as lists of text,
one per line of the file, so that the numbers of the rows are those of the source.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from data_prep.base.errors import InputError
from data_prep.tasks import TASKS
from data_prep.tasks.task import LANGUAGE, Layout, Task, label_indices

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BYTE_ORDER_MARK = "\ufeff"
SURROGATE = re.compile(r"[\ud800-\udfff]")
LONGEST_PEEK = 1 << 16


@dataclass(frozen=True)
class Columns:
    """Positions in a row, -1 for a column that is not there; `count` of a row's columns, 0 where its first row says."""

    first: int
    second: int
    label: int
    language: int = -1
    key: int = -1
    count: int = 0


def open_table(
    file: Path, layout: Layout, split: str, sha256: Any = None
) -> tuple[Columns, int, Iterator[list[str]]]:
    """Columns of `file`, the line number of its first row, and its rows; a blank line is a row of one field,
    unless it is at the end.

    `sha256`, where given, is updated with the file's bytes as they are read. Raises InputError, naming file and line,
    for bytes that are not UTF-8, a header without the columns, a missing header, or a line that is no JSON object with
    the keys.
    """
    if layout.json_lines:
        language, key = 3 if layout.language_column else -1, 4 if layout.key is not None else -1
        return Columns(0, 1, 2, language, key, 5), 1, _objects(file, layout, split, sha256)
    lines = read_rows(file, sha256)
    if not layout.header:
        first, second, label = layout.first, layout.second, layout.label
        if not (isinstance(first, int) and isinstance(second, int) and isinstance(label, int)):
            raise TypeError(f"layout {layout.pattern!r} has no header, so its columns must be positions")
        key = layout.key if isinstance(layout.key, int) else -1
        return Columns(first, second, label, key=key), 1, (line.split("\t") for line in lines)
    header = next(lines, "").split("\t")
    return _columns(header, layout, split, file), 2, (line.split("\t") for line in lines)


def read_lines(file: Path, sha256: Any = None) -> Iterator[str]:
    """The lines of a UTF-8 file without their LF or CRLF, the byte-order mark at the start removed.

    `sha256`, where given, is updated with the file's bytes as they are read.
    """
    try:
        with _opened(file, sha256) as stream:
            for number, line in enumerate(stream):
                line = line[:-1] if line.endswith("\n") else line
                line = line[:-1] if line.endswith("\r") else line
                yield line.removeprefix(BYTE_ORDER_MARK) if number == 0 else line
    except UnicodeDecodeError:
        raise InputError(f"{file}, line {_bad_line(file)}: not UTF-8; convert the file to UTF-8") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None


def read_rows(file: Path, sha256: Any = None) -> Iterator[str]:
    """The lines of a file as `read_lines` gives them, without the blank ones at its end, which are no rows.

    A blank line before another is the empty text, whatever blanks it holds.
    """
    blank = 0
    for line in read_lines(file, sha256):
        if not line.strip() and "\t" not in line:
            blank += 1
            continue
        yield from repeat("", blank)
        blank = 0
        yield line


def languages_in(file: Path, layout: Layout, split: str) -> list[str]:
    """The codes in the language column of `file`, once each.

    Raises InputError for what cannot be the code of a language, for a row without one, and for a file without rows.
    """
    columns, offset, rows = open_table(file, layout, split)
    name, found = " or ".join(layout.language_column), dict[str, str]()
    for line, (_, spelt, fields) in enumerate(with_language(rows, columns.language), start=offset):
        if columns.language < len(fields) and not fields[columns.language].strip() and any(map(str.strip, fields)):
            raise InputError(f"{file}, line {line}: nothing in the column {name}; enter the row's language")
        if spelt not in found and not re.fullmatch(LANGUAGE, spelt):
            raise InputError(f"{file}, line {line}: {spelt!r} in the column {name} is no language code; correct it")
        found[spelt] = language_code(spelt)
    if not found:
        raise InputError(f"{file}: no rows, expected rows of several languages; is it cut short?")
    return list(dict.fromkeys(found.values()))


def with_language(rows: Iterator[list[str]], column: int) -> Iterator[tuple[int, str, list[str]]]:
    """(number among the rows of its language, language as it is spelt, fields) of every row.

    A row without one, such as a blank line, goes with the row before it, at the start with the one after it.
    """
    numbers: dict[str, int] = {}
    language, waiting = "", list[list[str]]()
    for fields in rows:
        language = (fields[column].strip() if column < len(fields) else "") or language
        waiting.append(fields)
        if language:
            for one in waiting:
                number = numbers[language] = numbers.get(language, -1) + 1
                yield number, language, one
            waiting.clear()


def language_code(spelt: str) -> str:
    """A code of a language as cells have it: a hyphen stands between two languages elsewhere."""
    return spelt.replace("-", "_")


def is_header(fields: Sequence[str]) -> bool:
    """Whether a row is a line of column names: two or more that some task knows, two thirds of a short row.

    A third field of another kind, such as a label, makes it a row whatever the others say.
    """
    names = [field.strip(f" {BYTE_ORDER_MARK}\"").lower() for field in fields]
    known = len(set(names) & COLUMN_NAMES)
    if len(names) > 3:
        return known >= 2
    spellings = {spelling for task in TASKS.values() for spelling in (*label_indices(task), *task.no_consensus)}
    return known >= 2 and not (len(names) == 3 and names[2] in spellings)


def looks_like(file: Path, layout: Layout, task: Task) -> bool:
    """Whether the first line of `file` fits `layout` and the labels of `task`; a guess, for messages only."""
    try:
        with open(file, "rb") as stream:
            line = stream.readline(LONGEST_PEEK).decode("utf-8", "replace")
    except OSError:
        return False
    fields = line.removeprefix(BYTE_ORDER_MARK).rstrip("\r\n").split("\t")
    if layout.lines:
        return True
    if layout.json_lines:
        return all(any(f'"{name}"' in line for name in _alternatives(names)) for names in (layout.first, layout.second))
    if layout.header:
        return all(_position(fields, names) >= 0 for names in (layout.first, layout.second))
    return len(fields) == 2 or (len(fields) == 3 and fields[2].strip().lower() in label_indices(task))


def expected_columns(layout: Layout) -> str:
    """The columns that are read, for messages: alternatives with "or" between them."""
    wanted = [layout.language_column, layout.first, layout.second, layout.label]
    return ", ".join(" or ".join(_alternatives(names)) for names in wanted if names)


def _columns(header: list[str], layout: Layout, split: str, file: Path) -> Columns:
    """Positions of the columns by the names in the header line; -1 for a label column that a test lacks."""
    found = [_position(header, names) for names in (layout.first, layout.second, layout.label, layout.language_column)]
    wanted = expected_columns(layout)
    quoted = ", ".join(header)[:120]
    if not is_header(header) and max(found) < 0:
        raise InputError(f"{file}, line 1: no header but {quoted!r}; expected a line with the names of the columns: "
                         f"{wanted}")
    for names, at in zip((layout.first, layout.second, layout.label, layout.language_column), found, strict=True):
        absent = at < 0 and bool(names)
        if absent and names is layout.label and split == "test" and not any("label" in name.lower() for name in header):
            absent = False
        if absent:
            raise InputError(f"{file}, line 1: no column {' or '.join(_alternatives(names))} in the header ({quoted}); "
                             f"expected columns: {wanted}")
    first, second, label, language = found
    return Columns(first, second, label, language, _position(header, layout.key), len(header))


def _objects(file: Path, layout: Layout, split: str, sha256: Any) -> Iterator[list[str]]:
    """First text, second text, label, language and key of each JSON object, one per line."""
    for number, line in enumerate(read_rows(file, sha256), start=1):
        if not line.strip():
            yield [""]
            continue
        where = f"{file}, line {number}"
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: no JSON ({error}); expected one JSON object per line") from None
        if not isinstance(found, dict):
            raise InputError(f"{where}: no JSON object; expected one per line with the keys {expected_columns(layout)}")
        fields = []
        for names in (layout.first, layout.second, layout.label, layout.language_column, layout.key):
            key = next((name for name in _alternatives(names) if name in found), None)
            value = found[key] if key is not None else None
            optional = not names or names is layout.key or (
                names is layout.label and (split == "test" or key is not None))
            if names in (layout.label, layout.key) and type(value) is int:
                value = str(value)
            if not (isinstance(value, str) or (value is None and optional)):
                what = f"{key} is no text" if key is not None else f"no key {' or '.join(_alternatives(names))}"
                raise InputError(f"{where}: {what}; expected the keys {expected_columns(layout)}")
            if value and SURROGATE.search(value):
                raise InputError(f"{where}: {key} holds half of a surrogate pair, which is no character; correct it")
            fields.append(value or "")
        yield fields


def _alternatives(names: tuple[str, ...] | int | None) -> tuple[str, ...]:
    return names if isinstance(names, tuple) else ()


def _position(header: Sequence[str], names: tuple[str, ...] | int | None) -> int:
    return next((header.index(name) for name in _alternatives(names) if name in header), -1)


class _Hashed(io.RawIOBase):
    """A file opened for reading that hashes the bytes as they are read."""

    def __init__(self, file: Path, sha256: Any) -> None:
        self._raw = open(file, "rb", buffering=0)  # noqa: SIM115
        self._sha256 = sha256

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        n = self._raw.readinto(buffer)
        self._sha256.update(memoryview(buffer)[:n])
        return n

    def close(self) -> None:
        self._raw.close()
        super().close()


def _opened(file: Path, sha256: Any) -> IO[str]:
    if sha256 is None:
        return open(file, encoding="utf-8", newline="\n")
    return io.TextIOWrapper(io.BufferedReader(_Hashed(file, sha256)), encoding="utf-8", newline="\n")


def _bad_line(file: Path) -> int:
    """Number of the first line that is not UTF-8 (read again, line by line: the buffered reader does not know)."""
    with open(file, "rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 0


# lower-case names by which a line is told to be a header: those of all layouts, and what others call the same things
COLUMN_NAMES = frozenset(
    name.lower() for task in TASKS.values() for layout in task.layouts
    for names in (layout.first, layout.second, layout.label, layout.language_column) for name in _alternatives(names)
) | {"id", "index", "idx", "guid", "pairid", "pair_id", "promptid", "genre", "lang", "labels", "score", "text", "text1",
     "text2", "text_a", "text_b", "sentence_1", "sentence_2", "question1", "question2"}
