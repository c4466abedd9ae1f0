"""Diagnoses: distance to English, noise, and accuracy, from `<run>/eval/diagnostics.jsonl` of every run that has one.

A run is one repetition of its label.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trainer.plots.figures import Curve
from trainer.report.data.collect import split_position
from trainer.report.data.grid import Grid
from trainer.report.data.runs import Run
from trainer.results.diagnostics import DIAGNOSTICS_FILE, ENGLISH, DiagnosticRow, read_diagnostics
from trainer.statistics.rank_correlation import RankCorrelation, rank_correlation
from trainer.statistics.summary import summarise

IN_ENGLISH = "English"
Values = Callable[[DiagnosticRow], float | None]

# Distances that accuracy is correlated with.
DISTANCES: dict[str, Values] = {
    "token, site": lambda row: row.site.token_relative,
    "sentence, site": lambda row: row.site.sentence_relative,
    "token, last layer": lambda row: row.last.token_relative,
    "sentence, last layer": lambda row: row.last.sentence_relative,
}


@dataclass
class Diagnosis:
    """Diagnostic rows of one task and split, and what follows from them."""

    task: str
    split: str
    runs: dict[str, list[dict[str, DiagnosticRow]]]
    """By label, for each run its rows by language."""
    colours: dict[str, int]
    """Index of the colour and marker of every label of the report."""
    chance: float | None = None
    """Accuracy of the majority class, mean over the languages; None where no result row gives it."""

    @property
    def title(self) -> str:
        return f"{self.task} / {self.split}"

    @cached_property
    def languages(self) -> list[str]:
        """English first, then by mean token distance at the site over all runs."""
        found = {language for runs in self.runs.values() for run in runs for language in run}
        distance = {language: summarise([run[language].site.token_relative for runs in self.runs.values()
                                         for run in runs if language in run]).mean for language in found}
        return sorted(found, key=lambda language: (language != ENGLISH, distance[language], language))

    @cached_property
    def others(self) -> list[str]:
        """Languages other than English with an accuracy in every run; means and correlations are over these."""
        every = [run for runs in self.runs.values() for run in runs]
        return [language for language in self.languages if language != ENGLISH
                and all(language in run and run[language].accuracy is not None for run in every)]

    def values(self, label: str, language: str, value: Values) -> list[float]:
        """A value of one language in the runs of `label` that have it."""
        found = (value(run[language]) for run in self.runs[label] if language in run)
        return [number for number in found if number is not None]

    @cached_property
    def correlations(self) -> dict[str, dict[str, RankCorrelation | None]]:
        """Rank correlation with accuracy over the other languages, by label and distance."""
        return {label: {name: rank_correlation(
            [[value(run[language]) or 0.0 for language in self.others] for run in runs],
            [[run[language].accuracy or 0.0 for language in self.others] for run in runs])
            for name, value in DISTANCES.items()} for label, runs in self.runs.items()}

    def radius(self, label: str) -> float | None:
        """Mean trained radius of the runs of `label` in mean token norms; None unless it is an L2 norm per token."""
        radii = [row.radius / row.site.english_norm for run in self.runs[label] for row in list(run.values())[:1]
                 if row.radius is not None and (row.norm, row.scope) == ("l2", "token")]
        return summarise(radii).mean if radii else None

    def near_minus_far(self, label: str) -> list[float]:
        """Accuracy of the nearest minus the farthest fifth of the sentences, mean over languages, per run."""
        gaps = []
        for run in self.runs[label]:
            within = [bins[0].accuracy - bins[-1].accuracy for language in self.others if (bins := run[language].bins)]
            if within:
                gaps.append(summarise(within).mean)
        return gaps

    def against_noise(self, label: str) -> list[float]:
        """Accuracy minus that of English under noise of the language's token distance (interpolated), per run.

        Mean over the other languages that are no farther than the largest noise.
        """
        gaps = []
        for run in self.runs[label]:
            noise = run[ENGLISH].noise if ENGLISH in run else None
            if not noise:
                continue
            x, y = [point.scale for point in noise], [point.accuracy for point in noise]
            rows = [run[language] for language in self.others if x[0] <= run[language].site.token_relative <= x[-1]]
            if rows:
                gaps.append(summarise([(row.accuracy or 0.0) - float(np.interp(row.site.token_relative, x, y))
                                       for row in rows]).mean)
        return gaps

    @cached_property
    def noise_panels(self) -> dict[str, list[Curve]]:
        """Accuracy by noise norm per label: in English, and the mean over the other languages."""
        groups = {IN_ENGLISH: [ENGLISH], f"mean of {len(self.others)} others": self.others}
        panels: dict[str, list[Curve]] = {}
        for title, languages in groups.items():
            for label, runs in self.runs.items():
                by_scale: dict[float, list[float]] = {}
                for run in runs:
                    tables = [{point.scale: point.accuracy for point in run[language].noise or []}
                              for language in languages if language in run]
                    if tables and len(tables) == len(languages):
                        for scale in set.intersection(*map(set, tables)):
                            by_scale.setdefault(scale, []).append(summarise([table[scale] for table in tables]).mean)
                most = max(map(len, by_scale.values()), default=0)  # a scale that only some runs have is left out
                scales = sorted(scale for scale, values in by_scale.items() if len(values) == most)
                if scales:
                    found = [summarise(by_scale[scale]) for scale in scales]
                    panels.setdefault(title, []).append(Curve(
                        label, self.colours[label], scales, [s.mean for s in found],
                        [s.deviation or 0.0 for s in found]))
        return panels


def read_diagnoses(runs: Sequence[Run], grid: Grid) -> list[Diagnosis]:
    """Diagnoses of `runs` by task and split, test first; empty where no run was diagnosed.

    grid: any of the report, for the order and colours of labels. Raises InputError for a file that holds anything but
    diagnostic rows.
    """
    found: dict[tuple[str, str], dict[str, list[dict[str, DiagnosticRow]]]] = {}
    chances: dict[tuple[str, str], list[float]] = {}
    for row in (row for run in runs for row in run.rows if (row.setting, row.metric) == ("standard", "accuracy")):
        if row.chance is not None:
            chances.setdefault((row.task, row.split), []).append(row.chance)
    for run in sorted(runs, key=lambda run: grid.positions[run.label]):
        path = run.path / "eval" / DIAGNOSTICS_FILE
        by_split: dict[tuple[str, str], dict[str, DiagnosticRow]] = {}
        for measured in read_diagnostics(path) if path.is_file() else []:
            by_split.setdefault((measured.task, measured.split), {})[
                ENGLISH if measured.is_english else measured.language] = measured
        for pair, rows in by_split.items():
            found.setdefault(pair, {}).setdefault(run.label, []).append(rows)
    return [Diagnosis(*pair, found[pair], grid.colours, float(np.mean(chances[pair])) if pair in chances else None)
            for pair in sorted(found, key=lambda pair: (pair[0], split_position(pair[1])))]
