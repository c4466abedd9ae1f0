"""Outcome files: the counts of a metric per example, from which reports compute paired intervals.

Format: ``key<TAB>counts[<TAB>group]``, one line per example in the order of ascending ids. ``counts`` are those of the
metric, separated by spaces; accuracy has a single one, 1 for right and 0 for wrong, a correlation has the predicted and
the gold score. ``group`` is the key of the first
example with the same first text, left out where that is the example itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data_prep.base.errors import InputError
from trainer.results.predictions import cell_file, read_text, replace_file

LONGEST_KEY = 1000  # characters; longer than any key of a cell, and bounds the memory that a foreign file can claim
_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?(e-[0-9]{1,3})?")


def outcomes_path(task: str, split: str, language: str, language_2: str | None = None, metric: str = "") -> str:
    """Path of a cell's outcomes relative to the run's `eval/`; `language_2` for the generalized setting.

    metric: empty for the task's first metric, the name of any further one. Raises InputError for a name that could
    leave its folder.
    """
    return cell_file("outcomes", task, split, language, language_2, metric)


class Outcomes(NamedTuple):
    """Outcomes of a cell. Shapes: N examples, S counts."""

    keys: npt.NDArray[np.str_]  # (N,)
    counts: npt.NDArray[np.float64]  # (N, S)
    groups: npt.NDArray[np.str_]  # (N,)
    """Key of the first example of the cell with the same first text: XNLI has three hypotheses to each premise, and
    examples with one premise are not independent."""


def write_outcomes(
    path: Path, keys: npt.ArrayLike, counts: npt.ArrayLike, groups: npt.ArrayLike | None = None, *,
    smallest: float = 0.0, largest: float = 1.0,
) -> None:
    """Write key, counts and group of every example, in the order given.

    keys: strings or row numbers, each once. counts: (N, S), or (N,) for S = 1, each from `smallest` to `largest`.
    groups: (N,) keys; None where each example is a group of its own. Raises ValueError otherwise, as the caller
    computed them.
    """
    names = np.asarray(keys).astype(np.str_)
    table = np.asarray(counts, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    grouped = names if groups is None else np.asarray(groups).astype(np.str_)
    if not names.shape == table.shape[:1] == grouped.shape:
        raise ValueError(f"{names.shape} keys, but {table.shape} outcomes and {grouped.shape} groups")
    if not (np.isfinite(table) & (table >= smallest) & (table <= largest)).all():
        raise ValueError(f"outcomes must be from {smallest:g} to {largest:g}")
    lines = []
    for name, row, group in zip(names.tolist(), table.tolist(), grouped.tolist(), strict=True):
        numbers = " ".join(str(int(count)) if count.is_integer() else repr(count) for count in row)
        lines.append(f"{name}\t{numbers}" if group == name else f"{name}\t{numbers}\t{group}")
    text = "".join(f"{line}\n" for line in lines)
    if fault := _fault(text.split("\n")[:-1], smallest, largest):
        raise ValueError(f"a key occurs twice, is empty or too long, or breaks its line: {fault}")
    replace_file(path, text.encode())


def read_outcomes(path: Path, *, smallest: float = 0.0, largest: float = 1.0) -> Outcomes:
    """Outcomes of a file by `write_outcomes`, in its order.

    Raises InputError, naming file and line, for anything else, including counts out of bounds and a truncated file.
    """
    lines = read_text(path).split("\n")
    if lines[-1]:
        raise InputError(f"{path}:{len(lines)}: the last line is cut short; evaluate the run again")
    del lines[-1]
    if fault := _fault(lines, smallest, largest):
        numbers = "1 or 0" if largest == 1.0 else "counts separated by spaces"
        raise InputError(f"{path}:{fault}: expected 'key<TAB>{numbers}', another TAB and a group where "
                         "that is not the key, each key once; evaluate the run again")
    fields = [line.split("\t") for line in lines]
    counts = np.array([f[1].split(" ") for f in fields], dtype=np.str_).astype(np.float64)
    return Outcomes(np.array([f[0] for f in fields], dtype=np.str_), counts if fields else np.empty((0, 1)),
                    np.array([f[-1] if len(f) > 2 else f[0] for f in fields], dtype=np.str_))


def _fault(lines: Sequence[str], smallest: float, largest: float) -> int:
    """Number of the first line that is no outcome, or repeats an earlier key; 0 where none is."""
    seen: set[str] = set()
    width = 0
    for number, line in enumerate(lines, start=1):
        key, *rest = line.split("\t")
        counts = rest[0].split(" ") if rest else []
        width = width or len(counts)
        whole = 1 <= len(rest) <= 2 and all(0 < len(name) <= LONGEST_KEY for name in (key, *rest[1:]))
        if not whole or key in seen or len(counts) != width or "\r" in line or "\0" in line or not all(
                count in ("0", "1") or (_NUMBER.fullmatch(count) and smallest <= float(count) <= largest)
                for count in counts):
            return number
        seen.add(key)
    return 0
