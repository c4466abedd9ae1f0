"""Prediction, outcome and certificate files of a run.

Predictions are in XTREME's format, one label per line, and a line for every row of the publisher's file in its order:
``predictions/<task>/<split>-<language>.tsv``; ``<split>-<a>-<b>.tsv`` for a premise in a and a hypothesis in b, with
the lines of a. A row without a prediction (it was left out of the cell, or of the pair) has the line ``-``.
Outcomes say per example whether the prediction was right, ``key<TAB>1|0`` in the order of ascending ids, and behind
another TAB the key of the first example with the same first text, where there is an earlier one; under the same name in
``outcomes/``: what the report's intervals need, without gold labels or a model.
Certificates say per example what randomized smoothing found, four columns ``id<TAB>label|abstain<TAB>1|0<TAB>radius``
(the third is ``-`` without labels): ``certified/<site>-<sigma>/<task>/<split>-<language>.tsv``.

All are written under a temporary name and renamed, so that a file cut short never looks whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data_prep.base.errors import InputError
from data_prep.base.files import working_file
from trainer.results.scores import checked_name

ABSTAIN = "abstain"
LONGEST_KEY = 1000  # characters; more than a cell's keys have, so that a foreign file cannot ask for all memory
NO_PREDICTION = "-"  # the line of a publisher's row that there is no prediction for


def predictions_path(task: str, split: str, language: str, language_2: str | None = None) -> str:
    """Path of a cell's predictions relative to the run's `eval/`; `language_2` for the generalized setting.

    Raises InputError for a name that could leave its folder.
    """
    return f"predictions/{_stem(task, split, language, language_2)}.tsv"


def outcomes_path(task: str, split: str, language: str, language_2: str | None = None) -> str:
    """Path of a cell's outcomes relative to the run's `eval/`; see `predictions_path`."""
    return f"outcomes/{_stem(task, split, language, language_2)}.tsv"


def certified_path(task: str, split: str, language: str, site: str, sigma: float) -> str:
    """Path of a cell's certificates relative to the run's `eval/`; each site and sigma has a folder of its own."""
    return f"certified/{site.replace(':', '')}-{sigma!r}/{_stem(task, split, language, None)}.tsv"


@dataclass(frozen=True)
class Certificates:
    """What randomized smoothing found per example; arrays of shape (N,), ids ascending."""

    ids: npt.NDArray[np.int64]
    labels: list[str]
    """The certified label, or ABSTAIN."""
    correct: npt.NDArray[np.int64]
    """1 right, 0 wrong or abstained, -1 without gold label."""
    radii: npt.NDArray[np.float64]
    """Certified L2 radius; 0 where abstained."""

    @property
    def reach(self) -> npt.NDArray[np.float64]:
        """How far each example is known to be right: its radius, 0 where it is wrong or abstained."""
        return np.where(self.correct == 1, self.radii, 0.0)


def line_per_row(ids: npt.ArrayLike, labels: Sequence[str], rows: int) -> list[str]:
    """The labels of the rows `ids`, each on the line of its row, and NO_PREDICTION on all other of `rows` lines."""
    lines = [NO_PREDICTION] * rows
    for i, label in zip(np.asarray(ids).tolist(), labels, strict=True):
        lines[i] = label
    return lines


def write_predictions(path: Path, labels: Sequence[str]) -> None:
    """Write label strings, one per line (XTREME's submission format), in the order given.

    Raises InputError for a label with a line break or a tab in it, before anything is written.
    """
    _check_labels(path, labels)
    _replace(path, "".join(f"{label}\n" for label in labels).encode())


def read_predictions(path: Path) -> list[str]:
    """The label strings of a prediction file. Raises InputError where it is missing or its last line is cut."""
    try:
        text = _read(path).decode()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; evaluate the run again") from None
    if text and not text.endswith("\n"):
        raise InputError(f"{path}: the last line is cut short; evaluate the run again")
    return text.split("\n")[:-1]


class Outcomes(NamedTuple):
    """Per example of a cell its key, whether its prediction was right, and its group; arrays of shape (N,)."""

    keys: npt.NDArray[np.str_]
    right: npt.NDArray[np.bool_]
    groups: npt.NDArray[np.str_]
    """Key of the first example of the cell with the same first text: XNLI has three hypotheses to each premise, and
    examples with one premise are not independent."""


def write_outcomes(
    path: Path, keys: npt.ArrayLike, correct: npt.ArrayLike, groups: npt.ArrayLike | None = None
) -> None:
    """Write, per example, its key, whether its prediction was right, and its group, in the order given.

    `keys`: strings or row numbers, each once. `correct`: booleans or 0/1, as many. `groups`: as many keys; None where
    each example is a group of its own. Raises ValueError otherwise: the caller computed them.
    """
    names = np.asarray(keys).astype(np.str_)
    right = np.asarray(correct).astype(np.int64)
    grouped = names if groups is None else np.asarray(groups).astype(np.str_)
    if not names.shape == right.shape == grouped.shape:
        raise ValueError(f"{names.shape} keys, but {right.shape} outcomes and {grouped.shape} groups")
    if not np.isin(right, (0, 1)).all():
        raise ValueError("outcomes are 0 or 1")
    columns = zip(names.tolist(), right.tolist(), grouped.tolist(), strict=True)
    text = "".join(f"{name}\t{r}\n" if group == name else f"{name}\t{r}\t{group}\n" for name, r, group in columns)
    if fault := _outcome_fault(text, text.split("\n")[:-1]):
        raise ValueError(f"a key occurs twice, is empty or too long, or breaks its line: {fault}")
    _replace(path, text.encode())


def read_outcomes(path: Path) -> Outcomes:
    """The outcomes of a file by `write_outcomes`, in its order.

    Raises InputError, naming file and line, for anything else, a file cut short included.
    """
    try:
        text = _read(path).decode()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; evaluate the run again") from None
    lines = text.split("\n")
    if lines[-1]:
        raise InputError(f"{path}:{len(lines)}: the last line is cut short; evaluate the run again")
    del lines[-1]
    if fault := _outcome_fault(text, lines):
        raise InputError(f"{path}:{fault}: expected 'key<TAB>1' or 'key<TAB>0', behind another TAB a group where it is "
                         "not the key, each key once; evaluate the run again")
    fields = [line.split("\t") for line in lines]
    return Outcomes(np.array([f[0] for f in fields], dtype=np.str_),
                    np.array([f[1] == "1" for f in fields], dtype=np.bool_),
                    np.array([f[-1] if len(f) > 2 else f[0] for f in fields], dtype=np.str_))


def _outcome_fault(text: str, lines: Sequence[str]) -> int:
    """Number of the first line of `text` that is no outcome, or has the key of an earlier one; 0 where none is."""
    seen: set[str] = set()
    odd = "\r" in text or "\0" in text
    for number, line in enumerate(lines, start=1):
        fields = line.split("\t")
        whole = 2 <= len(fields) <= 3 and fields[1] in ("0", "1") and (
            0 < len(fields[0]) <= LONGEST_KEY and 0 < len(fields[-1]) <= LONGEST_KEY)
        if not whole or fields[0] in seen or (odd and ("\r" in line or "\0" in line)):
            return number
        seen.add(fields[0])
    return 0


def write_certificates(path: Path, found: Certificates) -> None:
    """Write what `found` holds, one example per line, radii to the last digit.

    Raises InputError for a label with a line break or a tab in it; ValueError for columns of unequal length, ids that
    are not ascending, and radii that are no lengths.
    """
    _check_labels(path, found.labels)
    ids = _checked_ids(found.ids)
    if not len(ids) == len(found.labels) == len(found.correct) == len(found.radii):
        raise ValueError("columns of unequal length")
    if not (np.isfinite(found.radii) & (found.radii >= 0)).all():
        raise ValueError("radii must be finite and not negative")
    columns = zip(ids.tolist(), found.labels, found.correct.tolist(), found.radii.tolist(), strict=True)
    lines = (f"{i}\t{label}\t{'-' if right < 0 else right}\t{radius!r}\n" for i, label, right, radius in columns)
    _replace(path, "".join(lines).encode())


def read_certificates(path: Path) -> Certificates:
    """What `write_certificates` wrote. Raises InputError, naming file and line, for anything else."""
    text = _read(path).decode(errors="replace")
    rows: list[tuple[int, str, int, float]] = []
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            example, label, right, radius = line.split("\t")
            row = int(example), label, {"1": 1, "0": 0, "-": -1}[right], float(radius)
        except (ValueError, KeyError):
            row = -1, "", 0, -1.0
        ascends = (rows[-1][0] if rows else -1) < row[0] < 2**63
        if not ascends or not row[3] >= 0 or math.isinf(row[3]):
            raise InputError(f"{path}:{number}: expected 'id<TAB>label<TAB>1, 0 or -<TAB>radius', ids ascending; "
                             f"evaluate the run again")
        rows.append(row)
    if text and not text.endswith("\n"):
        raise InputError(f"{path}: the last line is cut short; evaluate the run again")
    return Certificates(np.array([row[0] for row in rows], dtype=np.int64), [row[1] for row in rows],
                        np.array([row[2] for row in rows], dtype=np.int64), np.array([row[3] for row in rows]))


def _check_labels(path: Path, labels: Sequence[str]) -> None:
    for label in labels:
        if not label or any(mark in label for mark in "\n\r\t"):
            raise InputError(f"{path}: label {label!r} does not fit on a line of its own")


def _checked_ids(ids: npt.ArrayLike) -> npt.NDArray[np.int64]:
    checked = np.asarray(ids, dtype=np.int64)
    if checked.ndim != 1 or (checked.size and (checked[0] < 0 or (np.diff(checked) <= 0).any())):
        raise ValueError("ids must be ascending, each once, from 0 upwards")
    return checked


def _stem(task: str, split: str, language: str, language_2: str | None) -> str:
    names = [checked_name(split, "a split"), checked_name(language, "a language")]
    if language_2 is not None:
        names.append(checked_name(language_2, "a language"))
    return f"{checked_name(task, 'a task')}/{'-'.join(names)}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; evaluate the run again") from None


def _replace(path: Path, data: bytes) -> None:
    with working_file(path, "evaluate", wait=True) as temporary:  # two evaluations of one cell write the same
        temporary.write_bytes(data)
