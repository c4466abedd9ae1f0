"""TensorBoard folder of a report: its figures and main table, and a folder per run for the hparams plugin.

Scores of single languages and pairs are in the figures, not series of one point each. Equal results give equal bytes:
no times, hosts or processes are in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.report.data.compare import means_over
from trainer.report.data.compute import SectionResult
from trainer.report.data.runs import Run
from trainer.report.document import Document
from trainer.report.render import markdown
from trainer.results.numbers import scale_of
from trainer.results.scores import Setting

# Settings that the hparams plugin compares.
SHOWN = ("optimizer.lr", "batch.size", "schedule.max_steps", "robust.method", "robust.epsilon", "robust.ascent_steps",
         "model.dropout")


@dataclass(frozen=True)
class RunRecord:
    """One run: its folder's name, what tells it from the others, all its settings, and its scores by name."""

    name: str
    given: Mapping[str, bool | float | str]
    settings: Mapping[str, Setting | None]
    scores: Mapping[str, float]


def write(folder: Path, document: Document, records: Sequence[RunRecord]) -> bool:
    """Write event files to `folder`; False, and nothing written, where tensorboard is not installed."""
    try:
        from trainer.plots.events import TimelessEventFile
    except ImportError:
        return False
    with TimelessEventFile(folder) as events:
        events.text("report/summary", markdown.summary(document))
        for heading, drawing in document.drawings():
            # The narrow drawing: TensorBoard shows images small at first. Its groups end at the first slash of a tag.
            tag = f"{heading.replace(' / ', ' ')}/{drawing.alt}"
            events.figure(tag, drawing.draw(True), description=drawing.caption)
    for record in records:
        with TimelessEventFile(folder / record.name) as events:
            shown = {key: value for key in SHOWN if (value := record.settings.get(key)) is not None}
            events.hyper_parameters({**record.given, **shown}, record.name)
            rows = "".join(f"| {key} | {value} |\n" for key, value in sorted(record.settings.items()))
            events.text("recipe", f"| setting | value |\n|---|---|\n{rows}")
            for name, value in record.scores.items():
                events.scalar(name, value)
    return True


def records_of(sections: Sequence[SectionResult]) -> list[RunRecord]:
    """Records of the runs of a report that have scores: means over languages of every task, split and metric."""
    runs: dict[tuple[str, int], Run] = {}
    scores: dict[tuple[str, int], dict[str, float]] = {}
    for section in sections:
        grid = section.standard
        runs |= {(label, seed): run for (label, seed, _), (run, _) in grid.entries.items()}
        for label in grid.labels:
            for seed in grid.seeds(label):
                own = {language: [grid.value(label, seed, cell) for cell in cells] for language, cells in
                       means_over(grid, grid.shared).items()}
                scores.setdefault((label, seed), {}).update(
                    {score_name(section, f"mean, {name}"): sum(found) / len(found) for name, values in own.items()
                     if len(found := [value for value in values if value is not None]) == len(values) > 0})
    return [RunRecord(f"{run.name}{'-average' * (run.selection == 'average')}",
                      {"label": label, "method": run.rows[0].method, "seed": seed}, run.settings, scores[label, seed])
            for (label, seed), run in runs.items() if scores.get((label, seed))]


def score_name(section: SectionResult, what: str) -> str:
    """Tag of a score: `scores/xnli test accuracy, mean, all 15`."""
    return f"scores/{section.task} {section.split} {scale_of(section.metric).name}, {what}"

