"""Differences of two runs: keys of their recipes, how they ran, and their scores side by side.

Point values only, and no claim: intervals and significance are the report's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from trainer.config.load import load_recipe
from trainer.results.below import CONFIG, EVAL, is_evaluated
from trainer.results.numbers import scale_of
from trainer.results.scores import RESULTS_FILE, ResultRow, read_rows
from trainer.runs.record import RunRecord

Difference = tuple[str, str, str]
"""Key, its value in the first run, and in the second."""
PLACES = ("name", "output")  # keys of a recipe that every run has to itself
HEX_DIGITS = 6  # of a hash
RAN = ("device", "world_size", "zero_stage", "precision", "kernels")
OTHER_ROWS = "other rows"


@dataclass(frozen=True)
class Scores:
    """Scores of two runs on the languages of one task, split and metric."""

    title: str
    languages: list[str]
    first: list[str]
    second: list[str]
    differences: list[str]
    """Second minus first, in points; empty where one is missing."""


def recipe_differences(first: Path, second: Path) -> list[Difference]:
    """Recipe keys whose values differ, defaults filled in; "" where a method has no such key. Raises InputError."""
    recipes = [dict(_flat(load_recipe(str(run / CONFIG), announce=False).model_dump(mode="json")))
               for run in (first, second)]
    return [found for found in _differing(*recipes) if found[0] not in PLACES]


def content_differences(first: RunRecord, second: RunRecord) -> list[Difference]:
    """Differences that no recipe shows: rows of cells with the same name, weights, versions, machine."""
    rows = [{f"rows of {cell}": found[:HEX_DIGITS] for cell, found in sorted(record.rows_sha256.items())}
            for record in (first, second)]
    common = rows[0].keys() & rows[1].keys()
    described = [{**{key: value for key, value in of_rows.items() if key in common},
                  "initial weights": str(record.settings.get("model.origin", "")),
                  **{name: getattr(record, name) for name in RAN}, **record.versions}
                 for of_rows, record in zip(rows, (first, second), strict=True)]
    return _differing(*described)


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    return [(key, _shown(first, key), _shown(second, key)) for key in {**first, **second}
            if first.get(key) != second.get(key)]


def _shown(settings: Mapping[str, Any], key: str) -> str:
    """A value as one types it in a recipe."""
    if key not in settings:
        return ""
    value = settings[key]
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value or None if isinstance(value, dict) else value


def rows_of(run: Path) -> list[ResultRow]:
    """Result rows of a run; none where it is not evaluated. Raises InputError for damaged ones."""
    return read_rows(run / EVAL / RESULTS_FILE) if is_evaluated(run) else []


def mean_scores(rows: list[ResultRow]) -> list[str]:
    """Per task and split, the mean over languages of the task's first metric, e.g. "xnli/test accuracy 71.3 % (15)"."""
    means: dict[tuple[str, str], str] = {}
    for (task, split, metric), found in _by_language(rows, "standard").items():
        values = [row.value for row in found.values() if row.value is not None]
        if values:
            means.setdefault((task, split), f"{task}/{split} {metric} {scale_of(metric).with_unit(fmean(values))} "
                                            f"({len(values)})")
    return list(means.values())


def score_tables(first: list[ResultRow], second: list[ResultRow]) -> list[Scores]:
    """A table per task, split and metric that both runs have scores of; pairs of languages as their mean."""
    tables = []
    standard = [_by_language(rows, "standard") for rows in (first, second)]
    crossed = [_by_language(rows, "generalized") for rows in (first, second)]
    for key in (key for key in standard[0] if key in standard[1]):
        columns: list[tuple[str, float | str, float | str]] = []
        columns += _columns(standard[0][key], standard[1][key], "mean")
        pairs = _columns(crossed[0].get(key, {}), crossed[1].get(key, {}), "pairs: mean")
        tables.append(_table(key, [*columns, *(pair for pair in pairs if pair[0].startswith("pairs"))]))
    return tables


def _by_language(rows: list[ResultRow], setting: str) -> dict[tuple[str, str, str], dict[str, ResultRow]]:
    """Rows of the best checkpoint by task, split and metric, then by language or pair of languages."""
    found: dict[tuple[str, str, str], dict[str, ResultRow]] = {}
    for row in rows:
        if row.setting == setting and row.selection == "best":
            name = row.language if setting == "standard" else f"{row.language}→{row.language_2}"
            found.setdefault((row.task, row.split, row.metric), {})[name] = row
    return found


def _columns(first: dict[str, ResultRow], second: dict[str, ResultRow],
             mean: str) -> list[tuple[str, float | str, float | str]]:
    """(language, first value, second value), then their means over the languages that both have on equal rows."""
    columns: list[tuple[str, float | str, float | str]] = []
    common: list[tuple[float, float]] = []
    for name in {**first, **second}:
        a, b = first.get(name), second.get(name)
        values = [row.value if row is not None and row.value is not None else "" for row in (a, b)]
        if a is not None and b is not None and a.cell_sha256 != b.cell_sha256:
            values[1] = OTHER_ROWS  # no comparison
        columns.append((name, values[0], values[1]))
        if isinstance(values[0], float) and isinstance(values[1], float):
            common.append((values[0], values[1]))
    if len(common) > 1:
        columns.append((f"{mean} of {len(common)}", fmean(a for a, _ in common), fmean(b for _, b in common)))
    return columns


def _table(key: tuple[str, str, str], columns: list[tuple[str, float | str, float | str]]) -> Scores:
    task, split, metric = key
    scale = scale_of(metric)

    def text(value: float | str) -> str:
        return value if isinstance(value, str) else scale.value(value)

    differences = [scale.signed(b - a) if isinstance(a, float) and isinstance(b, float) else ""
                   for _, a, b in columns]
    return Scores(f"{task} / {split}: {scale.column}", [name for name, *_ in columns],
                  [text(a) for _, a, _ in columns], [text(b) for *_, b in columns], differences)
