"""TensorBoard folder of a study's report: a folder per run for the hparams plugin, and the report's figures.

Equal results give equal bytes: no times, hosts or processes are in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainer.report.build import slug
from trainer.report.document import Document
from trainer.studies.report.results import StageResult

SHOWN = ("optimizer.lr", "batch.size", "schedule.max_steps", "robust.method", "robust.epsilon", "robust.ascent_steps",
         "model.dropout")


def write_events(folder: Path, document: Document, results: Sequence[StageResult]) -> bool:
    """Write event files to `folder`; False, and nothing written, where tensorboard is not installed."""
    try:
        from trainer.plots.events import TimelessEventFile
    except ImportError:
        return False
    with TimelessEventFile(folder) as events:
        for drawing in document.drawings():
            events.figure(f"report/{drawing.name}", drawing.figure)
    for result in results:
        design = result.design
        best = {average: label for label, average in design.averages.items()}
        for run in design.runs:
            name = slug(f"{design.stage} {run.label} seed{run.seed}")
            given: dict[str, bool | float | str] = {"stage": design.stage, "seed": run.seed,
                                                    "weights": "average" if run.label in best else "best"}
            given |= design.levels[best.get(run.label, run.label)]
            given |= {key: value for key in SHOWN if (value := run.settings.get(key)) is not None}
            with TimelessEventFile(folder / name) as events:
                events.hyper_parameters(given, name)
                for tag, value in _scores(result, run.label, run.seed).items():
                    events.scalar(tag, value)
    return True


def _scores(result: StageResult, label: str, seed: int) -> dict[str, float]:
    """Values of one run by tag: mean over the target languages, and every language."""
    found = {}
    for task in result.tasks:
        cells = task.targets[1]
        values = {cell: task.grid.value(label, seed, cell) for cell in task.grid.scored}
        title = f"{task.section.task}-{task.section.split}/{task.section.metric}"
        known = [value for cell in cells if (value := values.get(cell)) is not None]
        if known and len(known) == len(cells):
            found[f"{title}/mean"] = sum(known) / len(known)
        found |= {f"{title}/{cell[0]}": value for cell, value in values.items() if value is not None}
    return found
