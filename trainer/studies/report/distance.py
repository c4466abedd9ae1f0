"""Distances of languages, and the slope of an effect against them.

A slope is a weighted sum of the differences per language, so its interval is that of any mean of them
(`trainer.statistics.differences`): a part from the slopes per seed (Student's t over seeds), and one from the test
examples. Languages are fixed: no interval is for languages in general.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.base.files import read_json
from trainer.report.data.compare import Comparison, contrast
from trainer.report.data.compute import SectionResult
from trainer.report.data.diagnosis import Diagnosis
from trainer.report.data.grid import Cell, Grid
from trainer.results.diagnostics import ENGLISH
from trainer.statistics.differences import Interval, corrected, slope_weights
from trainer.statistics.summary import summarise
from trainer.studies.graph import SHARDS

LEAST_SPREAD = 0.02  # of tokens per example between languages; below, all count as alike
FEWEST_LANGUAGES = 4  # a line through two or three points says nothing


@dataclass(frozen=True)
class Measure:
    """A number per language."""

    name: str
    """For tables and sentences."""
    axis: str
    """For figures."""
    unit: str
    """Of a slope: points per ..."""
    values: dict[str, float]
    """By language, the source language included."""


@dataclass(frozen=True)
class Effect:
    """Difference of two labels against a measure, one point per language."""

    measure: Measure
    comparison: Comparison
    cells: list[Cell]
    slope: Interval
    """Difference per unit of the measure; Holm's correction over labels and measures."""


def measure(out: Path, section: SectionResult, diagnoses: Sequence[Diagnosis]) -> list[Measure]:
    """Measures that are known for the languages of a section."""
    source = section.standard.source
    found = []
    for diagnosis in diagnoses:
        if (diagnosis.task, diagnosis.split) == (section.task, section.split):
            first = next(iter(diagnosis.runs))
            values = {language: summarise([run[language].site.token_relative for run in diagnosis.runs[first]
                                           if language in run]).mean
                      for language in diagnosis.languages
                      if any(language in run for run in diagnosis.runs[first])}
            found.append(Measure(f"token distance to English in {first}",
                                 "token distance to English (mean token norms)", "mean token norm",
                                 {ENGLISH: 0.0, **values}))
    lengths = _tokens(out, section)
    if source in lengths:
        values = {language: tokens / lengths[source] for language, tokens in lengths.items()}
        found.append(Measure(f"tokens per example, relative to {source}",
                             f"tokens per example (times those of {source})", "100 % more tokens", values))
    return found


def _tokens(out: Path, section: SectionResult) -> dict[str, float]:
    """Tokens per row by language; empty unless the cells are translations of each other and differ in it."""
    found, rows = {}, set()
    for language in section.standard.languages:
        manifest = read_json(out / SHARDS / section.task / section.split / language / "manifest.json")
        if not manifest.get("parallel") or not manifest.get("rows") or not manifest.get("tokens"):
            continue
        found[language] = manifest["tokens"] / manifest["rows"]
        rows.add(manifest["rows"])
    apart = max(found.values(), default=0.0) > (1 + LEAST_SPREAD) * min(found.values(), default=0.0)
    return found if len(rows) == 1 and apart else {}


def measure_effects(grid: Grid, comparisons: Sequence[Comparison], measures: Sequence[Measure]) -> list[Effect]:
    """Slopes of each comparison against each measure, over the languages of its first mean."""
    found = []
    for one in measures:
        for comparison in comparisons:
            cells = [cell for cell in comparison.main[0] if cell[0] in one.values]
            x = [one.values[cell[0]] for cell in cells]
            if len(cells) < FEWEST_LANGUAGES or max(x) - min(x) <= 1e-9:
                continue
            weights = dict(zip(cells, slope_weights(x).tolist(), strict=True))
            labels = len(comparisons) * len(measures)
            found.append(Effect(one, comparison, cells, contrast(grid, comparison, weights, labels)))
    intervals = corrected([effect.slope for effect in found])
    return [replace(effect, slope=slope) for effect, slope in zip(found, intervals, strict=True)]
