"""Join of two cells whose rows are translations of each other.

Inputs: two cells of one task and split. Output: a `Join`. Rows are joined by the publisher's key if both cells have
one. Otherwise they are joined by their number in the source, after comparing everything that could reveal a different
numbering: the number of rows of the sources, rows that were left out for a reason that can shift those after them, and
every gold answer that does not depend on the language: labels, choices and scores. These are also compared with keys,
as a publisher may have reassigned keys between releases. Windows of one row are one row, at its first window.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from data_prep.base.errors import InputError
from data_prep.shards.columns import COLUMN_TYPES
from data_prep.shards.manifest import SHIFTS_NOTHING, WINDOW
from data_prep.shards.read import Cell

NAMED = 5  # most rows, or pairs of languages, that a line lists
KEYED_LABELS_DIFFER = 0.1  # most labels that may differ between rows of equal key, as a share
BY_WORDS = {"publisher": "by the publisher's key", "row": "by row number"}


@dataclass(frozen=True)
class Join:
    """Positions of joined rows in both cells, (rows,), ids of the first cell ascending."""

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    by: Literal["publisher", "row"]
    alone: int
    """Rows that only one of the cells has."""
    labels_differ: int
    """Joined rows with different labels."""
    labels_compared: int
    """Joined rows with labels in both cells."""
    agree: npt.NDArray[np.bool_]
    """(rows,) joined rows whose gold answers are equal, or missing in both cells."""


def join_rows(first: Cell, second: Cell) -> Join:
    """Join two cells. Raises InputError if their rows are not parallel, or not known to be."""
    for cell in (first, second):
        if not cell.manifest.parallel:
            raise InputError(f"{cell.path}: its rows are not marked as parallel to other languages'; joining languages "
                             "needs cells whose rows are translations of each other")
    if first.manifest.keys == second.manifest.keys == "publisher":
        by: Literal["publisher", "row"] = "publisher"
        name = "key"
    else:
        by, name = "row", "id"
    rows = [np.flatnonzero(first_windows(cell)) for cell in (first, second)]
    one, other = (column(cell, name)[at] for cell, at in zip((first, second), rows, strict=True))
    if by == "row":
        _check_numbering(first, second, one, other)
    shared, *found = np.intersect1d(one, other, assume_unique=True, return_indices=True)
    if not len(shared):
        raise InputError(f"{first.path} and {second.path} have no row in common; build both from one release")
    in_first, in_second = (at[where] for at, where in zip(rows, found, strict=True))
    agree, compared, differ = _compared(first, second, in_first, in_second)
    _check_labels(first, second, by, differ, compared)
    order = np.argsort(column(first, "id")[in_first])
    alone = len(rows[0]) + len(rows[1]) - 2 * len(shared)
    return Join(in_first[order], in_second[order], by, alone, differ, compared, agree[order])


def joined_by(cell: Cell) -> str:
    """Name of the set of rows that the rows of `cell` are translations of, see `ResultRow.joined_by`."""
    if not cell.manifest.parallel or (cell.manifest.keys == "row" and _may_be_shifted(cell)):
        return ""
    return "publisher" if cell.manifest.keys == "publisher" else f"row {cell.manifest.source_rows}"


def first_windows(cell: Cell) -> npt.NDArray[np.bool_]:
    """(rows,) bool: rows that stand for their example, which are all but further windows of one."""
    return column(cell, WINDOW) == 0 if WINDOW in cell.manifest.columns else np.ones(len(cell), dtype=bool)


def column(cell: Cell, name: str) -> npt.NDArray[Any]:
    """A whole column of a cell, shape (rows,)."""
    values: npt.NDArray[Any] = cell.table.column(name).to_numpy()
    return values


def describe_joins(title: str, joins: Iterable[tuple[str, Join]], fate: str = "") -> list[str]:
    """Lines for the terminal on how many rows were joined and why others were not, one line for all equal joins.

    joins: (name of a pair of languages, its join). fate: suffix on what happens to rows with different labels.
    """
    alike: dict[str, list[str]] = {}
    for pair, found in joins:
        words = f"{len(found.first):,} rows joined {BY_WORDS[found.by]}"
        if found.labels_differ:
            words += f", {found.labels_differ:,} of them with different labels{fate}"
        if found.by == "row" and not found.labels_compared:
            words += ", no labels to check the order by"
        if found.alone:
            words += f"; {found.alone:,} rows are in one of the two languages only"
        alike.setdefault(words, []).append(pair)
    if len(alike) == 1 and len(pairs := next(iter(alike.values()))) > NAMED:
        return [f"{title}: {next(iter(alike))}, in each of {len(pairs)} pairs of languages"]
    return [f"{title} {_some(pairs)}: {words}" for words, pairs in alike.items()]


def _compared(
    first: Cell, second: Cell, in_first: npt.NDArray[np.int64], in_second: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.bool_], int, int]:
    """`Join.agree` of these rows, the number of rows with gold answers in both cells, and of those that differ."""
    agree = given = np.ones(len(in_first), dtype=bool)
    scalar = [name for name, kind in first.manifest.columns.items()
              if COLUMN_TYPES[kind].gold and not COLUMN_TYPES[kind].many]
    for name in scalar:
        values = [column(cell, name)[rows] for cell, rows in ((first, in_first), (second, in_second))]
        missing = [np.isnan(one) if one.dtype.kind == "f" else one < 0 for one in values]
        agree = agree & ((values[0] == values[1]) | (missing[0] & missing[1]))
        given = given & ~missing[0] & ~missing[1]
    return agree, int(given.sum()) if scalar else 0, int((given & ~agree).sum())


def _check_numbering(first: Cell, second: Cell, ids: npt.NDArray[np.int64], other_ids: npt.NDArray[np.int64]) -> None:
    """Raise InputError unless equal row numbers of two cells are known to be the same row."""
    counts = first.manifest.source_rows, second.manifest.source_rows
    if counts[0] != counts[1]:
        raise _refused(first, second, f"{counts[0]:,} rows against {counts[1]:,} in their sources",
                       "one of them lacks rows, or has a line that is none, such as a header")
    lacking = [(cell, rows) for cell, rows in ((second, np.setdiff1d(ids, other_ids, assume_unique=True)),
                                               (first, np.setdiff1d(other_ids, ids, assume_unique=True)))
               if len(rows) and _may_be_shifted(cell)]
    if lacking:
        what = "; ".join(f"rows left out only in {cell.manifest.language}: {_some([str(row) for row in rows.tolist()])}"
                         f" ({_may_be_shifted(cell)})" for cell, rows in lacking)
        raise _refused(first, second, f"{what}, counted from 0", "a row that was split or lost shifts those behind it")


def _may_be_shifted(cell: Cell) -> str:
    """Reasons why rows were left out of a cell that may have shifted the numbers of others; "" for none."""
    skipped = cell.manifest.skipped
    reasons = [f"{n:,} {reason}" for reason, n in sorted(skipped.items()) if n and reason not in SHIFTS_NOTHING]
    unexplained = cell.manifest.source_rows - cell.manifest.examples - sum(skipped.values())
    return ", ".join(reasons + [f"{unexplained:,} not known why"] * (unexplained > 0))


def _check_labels(first: Cell, second: Cell, by: Literal["publisher", "row"], differ: int, compared: int) -> None:
    """Raise InputError if more labels of joined rows differ than in the published data."""
    known = min(first.manifest.label_tolerance, second.manifest.label_tolerance)
    tolerance = known if by == "row" else max(KEYED_LABELS_DIFFER, known)
    if differ <= tolerance * compared:
        return
    what = f"{differ:,} of {compared:,} labels differ"
    if by == "row":
        what += f", its publisher is known to give {known:.0%} differently" if known else ""
        raise _refused(first, second, what, "their rows are in another order, or shifted")
    raise InputError(f"{first.path} and {second.path} cannot be joined by the publisher's key: {what}, expected at "
                     f"most {tolerance:.0%}; the same keys do not name the same rows: build both from one release")


def _refused(first: Cell, second: Cell, what: str, why: str) -> InputError:
    return InputError(f"{first.path} and {second.path} cannot be joined by row number: {what}; {why}: correct the "
                      "source and build again, or build both from files with the publisher's keys")


def _some(words: list[str]) -> str:
    return ", ".join(words[:NAMED]) + (f" and {len(words) - NAMED:,} more" if len(words) > NAMED else "")
