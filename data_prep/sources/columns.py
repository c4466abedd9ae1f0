"""Columns of a table: positions in a row, and the header names that a layout accepts for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from data_prep.tasks.task import Layout


@dataclass(frozen=True)
class Columns:
    """Positions in a row, -1 for an absent column; `count` is the number of columns, 0 if the first row tells it."""

    at: Mapping[str, int]
    """Position by field."""
    language: int = -1
    key: int = -1
    count: int = 0


def alternatives(names: tuple[str, ...] | int | None) -> tuple[str, ...]:
    """Header names of one column of a layout; empty if it is given by position or not at all."""
    return names if isinstance(names, tuple) else ()


def position(header: Sequence[str], names: tuple[str, ...] | int | None) -> int:
    """Position in `header` of the first name that it has, -1 if it has none."""
    return next((header.index(name) for name in alternatives(names) if name in header), -1)


def expected_columns(layout: Layout) -> str:
    """The columns that are read, for messages: alternatives joined by "or"."""
    wanted = [layout.language_column, *layout.columns.values()]
    return ", ".join(" or ".join(alternatives(names)) for names in wanted if names)
