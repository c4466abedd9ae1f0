"""Join of two cells whose rows are translations of each other.

Inputs: two cells of one task and split. Output: a `Join`. Rows are joined by the publisher's key if both cells have
one. Otherwise they are joined by their number in the source, after comparing everything that could reveal a different
numbering: the number of rows of the sources, rows that were left out for a reason that can shift those after them, and
every label. Labels are also compared with keys, as a publisher may have reassigned keys between releases.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from data_prep.base.errors import InputError
from data_prep.shards.manifest import SHIFTS_NOTHING
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


def join_rows(first: Cell, second: Cell) -> Join:
    """Join two cells. Raises InputError if their rows are not parallel, or not known to be."""
    for cell in (first, second):
        if not cell.manifest.parallel:
            raise InputError(f"{cell.path}: its rows are not marked as parallel to other languages'; joining languages "
                             "needs cells whose rows are translations of each other")
    if first.manifest.keys == second.manifest.keys == "publisher":
        by: Literal["publisher", "row"] = "publisher"
        names = column(first, "key"), column(second, "key")
    else:
        by, names = "row", (column(first, "id"), column(second, "id"))
        _check_numbering(first, second, *names)
    shared, in_first, in_second = np.intersect1d(*names, assume_unique=True, return_indices=True)
    if not len(shared):
        raise InputError(f"{first.path} and {second.path} have no row in common; build both from one release")
    labels = column(first, "label")[in_first], column(second, "label")[in_second]
    given = (labels[0] >= 0) & (labels[1] >= 0)
    compared, differ = int(given.sum()), int((given & (labels[0] != labels[1])).sum())
    _check_labels(first, second, by, differ, compared)
    order = np.argsort(column(first, "id")[in_first])
    return Join(in_first[order], in_second[order], by, len(first) + len(second) - 2 * len(shared), differ, compared)


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
    unexplained = cell.manifest.source_rows - len(cell) - sum(skipped.values())
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
