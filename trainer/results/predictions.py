"""Prediction and certificate files of a run; their names and formats.

Predictions of a task with one class per example, in XTREME's format: one label per line, one line for every row of the
publisher's file in its order, ``-`` for rows without a prediction (left out of the cell, or of the pair of cells).
``predictions/<task>/<split>-<language>.tsv``; ``<split>-<a>-<b>.tsv`` for a premise in a and a hypothesis in b, with
the lines of a.

Certificates of randomized smoothing, one example per line: ``id<TAB>label|abstain<TAB>1|0<TAB>radius`` (the third is
``-`` without labels). ``certified/<site>-<sigma>/<task>/<split>-<language>.tsv``.

All files are written under a temporary name and renamed, so that a truncated file is never taken for a whole one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data_prep.base.errors import InputError
from data_prep.base.files import working_file
from trainer.results.scores import checked_name

ABSTAIN = "abstain"
NO_PREDICTION = "-"  # line of a row without a prediction


def predictions_path(
    task: str, split: str, language: str, language_2: str | None = None, extension: str = "tsv"
) -> str:
    """Path of a cell's predictions relative to the run's `eval/`; `language_2` for the generalized setting.

    extension: that of the kind of task. Raises InputError for a name that could leave its folder.
    """
    return cell_file("predictions", task, split, language, language_2).removesuffix("tsv") + extension


def certified_path(task: str, split: str, language: str, site: str, sigma: float) -> str:
    """Path of a cell's certificates relative to the run's `eval/`; each site and sigma has a folder of its own."""
    return cell_file(f"certified/{site.replace(':', '')}-{sigma!r}", task, split, language)


@dataclass(frozen=True)
class Certificates:
    """Certificates of randomized smoothing; arrays of shape (N,), ids ascending."""

    ids: npt.NDArray[np.int64]
    labels: list[str]
    """The certified label, or ABSTAIN."""
    correct: npt.NDArray[np.int64]
    """1 right, 0 wrong or abstained, -1 without gold label."""
    radii: npt.NDArray[np.float64]
    """Certified L2 radius; 0 where abstained."""

    @property
    def reach(self) -> npt.NDArray[np.float64]:
        """Radius within which each example is certified to be right, 0 where it is wrong or abstained; (N,)."""
        return np.where(self.correct == 1, self.radii, 0.0)


def line_per_row(ids: npt.ArrayLike, labels: Sequence[str], rows: int) -> list[str]:
    """`rows` lines: the labels of the rows `ids`, and NO_PREDICTION for all others."""
    lines = [NO_PREDICTION] * rows
    for i, label in zip(np.asarray(ids).tolist(), labels, strict=True):
        lines[i] = label
    return lines


def write_predictions(path: Path, labels: Sequence[str]) -> None:
    """Write label strings, one per line (XTREME's submission format), in the order given.

    Raises InputError, before anything is written, for a label with a line break or a tab.
    """
    _check_labels(path, labels)
    replace_file(path, "".join(f"{label}\n" for label in labels).encode())


def read_predictions(path: Path) -> list[str]:
    """Label strings of a prediction file. Raises InputError if it is missing or truncated."""
    text = read_text(path)
    if text and not text.endswith("\n"):
        raise InputError(f"{path}: the last line is cut short; evaluate the run again")
    return text.split("\n")[:-1]


def write_certificates(path: Path, found: Certificates) -> None:
    """Write certificates, one example per line, radii to the last digit.

    Raises InputError for a label with a line break or a tab; ValueError for columns of unequal length, ids that are not
    ascending, and radii that are negative or not finite.
    """
    _check_labels(path, found.labels)
    ids = _checked_ids(found.ids)
    if not len(ids) == len(found.labels) == len(found.correct) == len(found.radii):
        raise ValueError("columns of unequal length")
    if not (np.isfinite(found.radii) & (found.radii >= 0)).all():
        raise ValueError("radii must be finite and not negative")
    columns = zip(ids.tolist(), found.labels, found.correct.tolist(), found.radii.tolist(), strict=True)
    lines = (f"{i}\t{label}\t{'-' if right < 0 else right}\t{radius!r}\n" for i, label, right, radius in columns)
    replace_file(path, "".join(lines).encode())


def read_certificates(path: Path) -> Certificates:
    """Read a file by `write_certificates`. Raises InputError, naming file and line, for anything else."""
    text = read_text(path)
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


def cell_file(
    folder: str, task: str, split: str, language: str, language_2: str | None = None, suffix: str = ""
) -> str:
    """``<folder>/<task>/<split>-<language>[-<language_2>][.<suffix>].tsv``; see `predictions_path`."""
    names = [checked_name(split, "a split"), checked_name(language, "a language")]
    if language_2 is not None:
        names.append(checked_name(language_2, "a language"))
    end = f".{checked_name(suffix)}.tsv" if suffix else ".tsv"
    return f"{folder}/{checked_name(task, 'a task')}/{'-'.join(names)}{end}"


def read_text(path: Path) -> str:
    """Content of a file of this package. Raises InputError where it cannot be read or is not UTF-8."""
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; evaluate the run again") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; evaluate the run again") from None


def replace_file(path: Path, data: bytes) -> None:
    """Write `path` atomically; processes that write the same file wait for each other."""
    with working_file(path, "evaluate", wait=True) as temporary:
        temporary.write_bytes(data)
