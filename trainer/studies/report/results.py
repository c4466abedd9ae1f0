"""All that the report of a study computes: a `StageResult` per evaluated stage.

Comparisons are the study's: a base level against every other level of a factor at each combination of the other
factors, corrected together (Holm) per comparison, task, split and setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from trainer.report.data.certified import smoothed_groups
from trainer.report.data.collect import Missing, lay_out, missing_cells
from trainer.report.data.compare import Comparison, compare_pairs, means_over, without_sources
from trainer.report.data.compute import SectionResult
from trainer.report.data.diagnosis import Diagnosis, read_diagnoses
from trainer.report.data.grid import Cell, Grid
from trainer.studies import schema
from trainer.studies.report.design import Design
from trainer.studies.report.distance import Effect, Measure, measure, measure_effects


@dataclass(frozen=True)
class Found:
    """One comparison of the study in one task and split."""

    asked: schema.Comparison
    standard: list[Comparison]
    generalized: list[Comparison]


@dataclass(frozen=True)
class TaskResult:
    """One task, split and metric."""

    section: SectionResult
    found: list[Found]
    """In the order of the study; those that have no pair of labels here are left out."""
    averages: list[Comparison]
    """Average of the last snapshots against the best checkpoint, per label."""
    measures: list[Measure]
    """Distances of the languages."""
    effects: list[Effect]
    """Of the first comparison, against each of `measures`."""

    @property
    def grid(self) -> Grid:
        """Rows of the standard setting."""
        return self.section.standard

    @property
    def targets(self) -> tuple[str, list[Cell]]:
        """Name and cells of the mean that is compared: over the languages that no label was trained on, if any."""
        bases = [base for found in self.found for base in {c.base for c in found.standard}] or self.grid.labels[:1]
        return next(iter(_means(self.grid, self.grid.shared, bases).items()), ("no language", []))


@dataclass(frozen=True)
class StageResult:
    """One evaluated stage."""

    design: Design
    tasks: list[TaskResult]
    diagnoses: list[Diagnosis]
    missing: list[Missing]


def compute_stage(design: Design, out: Path) -> StageResult:
    """Results of a stage; without tasks where no run has been evaluated. Raises: see `report.data.compute.compute`."""
    if not design.runs:
        return StageResult(design, [], [], [])
    sections = lay_out(design.runs, base="")
    best = [run for run in design.runs if run.selection == "best"]  # `diagnose` measures best/
    diagnoses = read_diagnoses(best, sections[0].standard)
    tasks = []
    for section in sections:
        whole = SectionResult(**vars(section), comparisons=[], generalized_comparisons=[],
                              smoothed_groups=smoothed_groups(section))
        tasks.append(_task(design, whole, diagnoses, out))
    # An oracle is of the cells that a training was told to look at: those of another one are not missing.
    missing = [cell for cell in missing_cells(design.runs) if cell.setting != "oracle"]
    return StageResult(design, tasks, diagnoses, missing)


def _task(design: Design, section: SectionResult, diagnoses: Sequence[Diagnosis], out: Path) -> TaskResult:
    grid = section.standard
    found = []
    for asked in design.study.comparisons:
        pairs = design.pairs(asked)
        if pairs:
            means = partial(_means, bases=list(dict.fromkeys(base for base, _ in pairs)))
            found.append(Found(asked, compare_pairs(grid, pairs, means),
                               compare_pairs(section.generalized, pairs, means_over)))
    averages = compare_pairs(grid, list(design.averages.items()),
                             partial(_means, bases=list(design.averages)))
    measures = measure(out, section, diagnoses)
    effects = measure_effects(grid, found[0].standard, measures) if found else []
    section = replace(section, comparisons=found[0].standard if found else [],
                      generalized_comparisons=found[0].generalized if found else [])
    return TaskResult(section, found, averages, measures, effects)


def _means(grid: Grid, cells: Sequence[Cell], bases: Sequence[str]) -> dict[str, list[Cell]]:
    """Means over `cells`: languages that no label was trained on, those that no base was, all."""
    never = without_sources(grid, cells)
    not_base = [cell for cell in cells if all(cell not in grid.sources(base) for base in bases)]
    named = {f"{len(never)} not trained on": never, f"{len(not_base)} that the base was not trained on": not_base,
             f"all {len(cells)}": list(cells)}
    kept: dict[str, list[Cell]] = {}
    for name, members in named.items():
        if members and members not in kept.values():
            kept[name] = members
    return kept
