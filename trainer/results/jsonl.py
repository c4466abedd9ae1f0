"""JSON Lines files of rows with unique keys, always rewritten whole: a run's results and its diagnostics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, Self, TypeVar

from pydantic import ValidationError

from data_prep.base.errors import InputError
from data_prep.base.files import first_error, working_file


class KeyedRow(Protocol):
    """A pydantic model with a key."""

    @property
    def key(self) -> tuple[str, ...]:
        """Identity of the row within its file."""

    @classmethod
    def model_validate_json(cls, json_data: str) -> Self:
        """Parse a line; raises ValidationError."""

    def model_dump(self) -> dict[str, object]:
        """Fields to write."""


Row = TypeVar("Row", bound=KeyedRow)


def read_keyed(path: Path, row_type: type[Row], what: str, remedy: str) -> list[Row]:
    """Rows of `path`, in file order. For messages: `what` a row is called, and the `remedy` for a bad one.

    Raises InputError, naming file and line, for a missing file, a line that is no row, and two rows with one key.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as {what}s: {error}") from None
    rows: dict[tuple[str, ...], tuple[int, Row]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = row_type.model_validate_json(line)
        except ValidationError as error:
            raise InputError(f"{path}:{number}: not a {what}: {first_error(error)}; {remedy}") from None
        if row.key in rows:
            raise InputError(f"{path}:{number}: the same cell as line {rows[row.key][0]} "
                             f"({' '.join(row.key).strip()}); expected one row per cell: remove one of them")
        rows[row.key] = (number, row)
    return [row for _, row in rows.values()]


def merge_keyed(path: Path, read: Callable[[Path], list[Row]], new_rows: Iterable[Row], what: str) -> list[Row]:
    """Add `new_rows` to those of `path`, which `read` reads, replacing rows of equal key; returns all rows.

    Concurrent writers of the same file wait for each other, so that no row is lost; `what` names the command in the
    lock. The file is replaced atomically: a reader sees the old rows or all the new ones.
    """
    with working_file(path, what, wait=True) as temporary:
        old_rows = read(path) if path.exists() else []
        rows = list({row.key: row for row in (*old_rows, *new_rows)}.values())
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row.model_dump(), ensure_ascii=False) + "\n" for row in rows)
    return rows
