"""All that a report computes, once: grids, comparisons, certified accuracy, diagnoses, missing cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.report.data.certified import Smoothed, smoothed_groups
from trainer.report.data.collect import Missing, Section, lay_out, missing_cells
from trainer.report.data.compare import Comparison, compare
from trainer.report.data.diagnosis import Diagnosis, read_diagnoses
from trainer.report.data.runs import Run


@dataclass(frozen=True)
class SectionResult(Section):
    """A section with its comparisons and certified accuracy."""

    comparisons: list[Comparison]
    """Of the standard setting."""
    generalized_comparisons: list[Comparison]
    smoothed_groups: list[Smoothed]


@dataclass(frozen=True)
class ReportResult:
    """The numbers behind a report."""

    runs: list[Run]
    sections: list[SectionResult]
    diagnoses: list[Diagnosis]
    missing: list[Missing]


def compute(runs: Sequence[Run]) -> ReportResult:
    """The results of `runs`. Raises InputError for rows that contradict each other, and files that do not fit rows."""
    sections = [SectionResult(**vars(section), comparisons=compare(section.standard),
                              generalized_comparisons=compare(section.generalized),
                              smoothed_groups=smoothed_groups(section)) for section in lay_out(runs)]
    trained = [run for run in runs if not run.failed and run.selection == "best"]  # `diagnose` measures best/
    return ReportResult(list(runs), sections, read_diagnoses(trained, sections[0].standard),
                        missing_cells(runs))
