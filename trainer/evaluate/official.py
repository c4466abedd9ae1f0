"""Official prediction files of suites, made from those of runs: a check and a conversion per format.

Every check is one that an organiser's script makes by failing, or should make: the number of rows, the labels, the
shape of a line. Rows that were left out when a cell was built stay in the files as wrong predictions.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from data_prep.base.errors import InputError
from trainer.results.predictions import NO_PREDICTION

RANKED = 20  # most entities per mention that Mewsli-X scores


@dataclass(frozen=True)
class File:
    """An official prediction file."""

    text: str
    rows: int
    """Rows with a prediction."""
    left_out: int
    """Rows without one, which the organisers' script counts as wrong."""


@dataclass(frozen=True)
class Format:
    """Conversion of one format, (text, expected rows or None, labels allowed) -> File, and the ending of its files."""

    extension: str
    convert: Callable[[str, int | None, frozenset[str]], File]


def labels(text: str, rows: int | None, allowed: frozenset[str]) -> File:
    """A label per line."""
    lines = _lines(text)
    _check_count(len(lines), rows, "lines")
    left_out = lines.count(NO_PREDICTION)
    _check_labels({line for line in lines if line != NO_PREDICTION}, allowed)
    return File("".join(f"{line}\n" for line in lines), len(lines) - left_out, left_out)


def choices(text: str, rows: int | None, allowed: frozenset[str]) -> File:
    """A JSON object per line with the index of the choice under `label`; -1 for a row without one."""
    found = labels(text, rows, allowed)
    indices = [-1 if line == NO_PREDICTION else int(line) for line in _lines(found.text)]
    return File("".join(f'{{"label": {index}}}\n' for index in indices), found.rows, found.left_out)


def tags(text: str, rows: int | None, allowed: frozenset[str]) -> File:
    """A tag per line, a blank line between sentences.

    A sentence that was left out has no tags, so that it would be paired with too few gold ones: it is refused.
    """
    sentences = text.removesuffix("\n").split("\n\n")
    _check_count(len(sentences), rows, "sentences")
    for number, sentence in enumerate(sentences, start=1):
        if NO_PREDICTION in (words := sentence.split("\n")) or not all(word.strip() for word in words):
            raise InputError(f"sentence {number} has no tags; build its cell with all rows of the publisher's file")
        if allowed:
            _check_labels(set(words), allowed)
    return File("\n\n".join(sentences) + "\n", len(sentences), 0)


def answers(text: str, rows: int | None, allowed: frozenset[str]) -> File:
    """A JSON object, question id -> answer."""
    found = _object(text)
    if bad := next((name for name, answer in found.items() if not isinstance(answer, str)), None):
        raise InputError(f"the answer to {bad!r} is no text")
    if rows is not None and len(found) > rows:
        raise InputError(f"{len(found):,} answers, the publisher's file has {rows:,} questions")
    return File(text, len(found), (rows or len(found)) - len(found))


def rankings(text: str, rows: int | None, allowed: frozenset[str]) -> File:
    """A JSON object, mention id -> at most 20 entities, the best first."""
    found = _object(text)
    for name, ranked in found.items():
        if not (isinstance(ranked, list) and 0 < len(ranked) <= RANKED and len(set(ranked)) == len(ranked)):
            raise InputError(f"the ranking of {name!r} is not a list of 1 to {RANKED} entities, each once")
    if rows is not None and len(found) > rows:
        raise InputError(f"{len(found):,} rankings, the publisher's file has {rows:,} mentions")
    return File(text, len(found), (rows or len(found)) - len(found))


def indices(text: str, rows: int | None, allowed: frozenset[str]) -> File:
    """The index of a candidate per line, from 0 on."""
    lines = _lines(text)
    _check_count(len(lines), rows, "lines")
    for number, line in enumerate(lines, start=1):
        if not line.isdecimal() or int(line) >= len(lines):
            raise InputError(f"line {number}: {line!r}, expected a number below {len(lines):,}")
    return File(text, len(lines), 0)


def pairs(text: str, rows: int | None, allowed: frozenset[str]) -> File:
    """Two ids with a tab between them per line, any number of lines."""
    lines = _lines(text)
    for number, line in enumerate(lines, start=1):
        if len(ids := line.split("\t")) != 2 or not all(ids):
            raise InputError(f"line {number}: {line[:80]!r}, expected two ids with a tab between them")
    if len(set(lines)) < len(lines):
        raise InputError("a pair occurs twice")
    return File(text, len(lines), 0)


def _lines(text: str) -> list[str]:
    if text and not text.endswith("\n"):
        raise InputError("the last line is cut short; evaluate the run again")
    return text.split("\n")[:-1]


def _object(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError("no JSON object; evaluate the run again")
    return found


def _check_count(found: int, rows: int | None, what: str) -> None:
    if rows is not None and found != rows:
        raise InputError(f"{found:,} {what}, the publisher's file has {rows:,} rows; build the cell from the whole "
                         "file and evaluate the run again")


def _check_labels(found: set[str], allowed: frozenset[str]) -> None:
    if unknown := sorted(found - allowed) if allowed else []:
        raise InputError(f"label {unknown[0]!r}, expected {', '.join(sorted(allowed))}")


FORMATS: dict[str, Format] = {
    "labels": Format("tsv", labels),
    "choices": Format("jsonl", choices),
    "tags": Format("tsv", tags),
    "answers": Format("json", answers),
    "rankings": Format("json", rankings),
    "indices": Format("tsv", indices),
    "pairs": Format("tsv", pairs),
}
