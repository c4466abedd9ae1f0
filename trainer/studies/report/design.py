"""Design of a study as its graph has it: which run is which cell, under which label.

Input: a study, its graph and folder. Output: a `Design` per reported stage, with the runs' rows under the labels and
seeds of their cells. Labels in the runs themselves are not read: two cells may share a run, and a training that was
tried again has another seed than its cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from trainer.report.data.runs import Run, differing, read_runs
from trainer.results.averages import label_with
from trainer.results.scores import RESULTS_FILE, Setting
from trainer.runs import folder
from trainer.studies.graph import RUNS, CellNodes, Graph
from trainer.studies.schema import Comparison, Study
from trainer.studies.states import Ending, blocked, endings

DONE, BEST, AVERAGE = "done", "best", "average"
BETWEEN = " · "  # levels of a label: enumerations of labels have commas


@dataclass(frozen=True)
class Design:
    """Cells of one evaluated stage."""

    study: Study
    stage: str
    factors: list[str]
    """Factors whose levels differ in the runs of the stage, in the order of the study."""
    levels: dict[str, dict[str, str]]
    """By label, the level of each of `factors`; in the order of reports, the base level of the answer first."""
    cells: dict[tuple[str, int], CellNodes]
    """By label and seed of the design."""
    runs: list[Run]
    """Evaluated runs with the labels and seeds of their cells; after those of a label, averages of their weights."""
    averages: dict[str, str]
    """By label, the label of its averages."""
    training_seeds: dict[tuple[str, int], int]
    """By label and seed of the design, the seed of the training where it is another one."""
    unlike: dict[str, list[str]]
    """By label, settings that differ between its seeds by design (cells drawn with the seed), made equal in `runs`."""
    states: dict[str, str]
    """By node that is not done: failed, collapsed, blocked or not run."""

    def label(self, levels: Mapping[str, str]) -> str | None:
        """Label of the cells with these levels; None where there are none."""
        return next((label for label, own in self.levels.items()
                     if all(levels.get(factor, level) == level for factor, level in own.items())), None)

    def name(self, factor: str, level: str) -> str:
        """Name of a level in reports."""
        return self.study.factors[factor][level].label or level

    def pairs(self, comparison: Comparison) -> list[tuple[str, str]]:
        """Labels (base, other) of a comparison: at each combination of the other factors' levels."""
        if comparison.factor not in self.factors:
            return []
        found = []
        for label, levels in self.levels.items():
            if levels[comparison.factor] == comparison.base or any(
                    levels.get(factor, level) != level for factor, level in comparison.at.items()):
                continue
            base = self.label({**levels, comparison.factor: comparison.base})
            if base is not None:
                found.append((base, label))
        return found

    def failed(self, label: str) -> list[str]:
        """Names of trainings of `label` that collapsed or diverged and were replaced, in any stage of its cells."""
        return list(dict.fromkeys(name for (of, _), cell in self.cells.items() if of == label
                                  for names in cell.failed.values() for name in names))

    def missing(self) -> dict[tuple[str, str], list[int]]:
        """Seeds without a complete evaluation, by label and reason."""
        found: dict[tuple[str, str], list[int]] = {}
        for (label, seed), cell in self.cells.items():
            states = {name: self.states[name] for name in (*cell.runs.values(), *cell.evaluations.get(self.stage, []))
                      if name in self.states}
            if not any(name in states for name in cell.evaluations.get(self.stage, [])):
                continue
            broken = [f"{name} {state}" for name, state in states.items() if state in ("failed", "collapsed")]
            reason = "; ".join(broken) or ("an input failed" if "blocked" in states.values() else "not run yet")
            found.setdefault((label, reason), []).append(seed)
        return found


def read_designs(study: Study, graph: Graph, out: Path) -> list[Design]:
    """Designs of the stages with evaluations, the last stage first: it answers the question."""
    states = _states(graph, endings(out, graph.nodes.values()))
    return [_design(study, stage, graph, out, states)
            for stage in reversed(study.stages) if any(stage in cell.evaluations for cell in graph.cells)]


def _states(graph: Graph, ended: dict[str, Ending]) -> dict[str, str]:
    stopped = blocked(graph, ended)
    found = {name: ended[name].state if name in ended else "blocked" if name in stopped else "not run"
             for name in graph.nodes}
    return {name: state for name, state in found.items() if state != DONE}


def _design(study: Study, stage: str, graph: Graph, out: Path, states: dict[str, str]) -> Design:
    last = {(tuple(cell.levels.items()), cell.seed): _last(study, stage, cell) for cell in graph.cells}
    cells = [replace(cell, runs={**cell.runs, stage: cell.runs[of]},
                     evaluations={**cell.evaluations, stage: cell.evaluations[of]})
             for cell in graph.cells if (of := last[tuple(cell.levels.items()), cell.seed]) is not None]
    factors = [factor for factor in study.factors if _matters(factor, stage, cells)]
    labels: dict[str, dict[str, str]] = {}
    by_key: dict[tuple[str, int], CellNodes] = {}
    for cell in cells:
        levels = {factor: cell.levels[factor] for factor in factors}
        label = _label(study, levels) or stage
        if label in labels and labels[label] != levels:  # two levels of one name
            label = BETWEEN.join(levels.values())
        labels.setdefault(label, levels)
        by_key.setdefault((label, cell.seed), cell)
    first = study.comparisons[0]
    order = sorted(labels, key=lambda label: labels[label].get(first.factor, first.base) != first.base)
    folders = {key: out / RUNS / cell.runs[stage] for key, cell in by_key.items()}
    known = {folder: read_runs([folder], pool="label") for folder in dict.fromkeys(folders.values())
             if (folder / "eval" / RESULTS_FILE).is_file()}
    runs: list[Run] = []
    averages: dict[str, str] = {}
    seeds: dict[tuple[str, int], int] = {}
    unlike: dict[str, list[str]] = {}
    for label in order:
        members = [(seed, run) for of, seed in by_key if of == label for run in known.get(folders[of, seed], [])]
        seeds |= {(label, seed): run.seed for seed, run in members if run.seed != seed}
        for selection in (BEST, AVERAGE):
            found = [(seed, run) for seed, run in members if run.selection == selection]
            if not found:
                continue
            first_run = found[0][1]
            keys = differing([dict(run.settings) for _, run in found])
            name = label if selection == BEST else label_with(label, first_run.settings)
            if selection == AVERAGE:
                averages[label] = name
            elif keys:
                unlike[label] = keys
            runs += [_relabelled(run, name, seed, {key: first_run.settings.get(key) for key in keys})
                     for seed, run in found]
    return Design(study, stage, factors, {label: labels[label] for label in order}, by_key, runs, averages, seeds,
                  unlike, states)


def _last(study: Study, stage: str, cell: CellNodes) -> str | None:
    """The stage that stands for `stage` in a cell: itself, or where the cell skips it, the one it would start from.

    A cell of no shots ends with the model that others train on with shots. None where that is not evaluated.
    """
    of: str | None = stage
    while of is not None and of not in cell.runs:
        start = study.stages[of].start or ""
        of = next((name for name in study.stages if start == name or start.startswith(f"{{{name}}}")), None)
    return of if of in cell.evaluations else None


def _matters(factor: str, stage: str, cells: Sequence[CellNodes]) -> bool:
    """True where cells that differ in `factor` only have different runs of the stage."""
    found: dict[tuple[tuple[tuple[str, str], ...], int], str] = {}
    for cell in cells:
        others = tuple((name, level) for name, level in cell.levels.items() if name != factor)
        if found.setdefault((others, cell.seed), cell.runs[stage]) != cell.runs[stage]:
            return True
    return False


def _label(study: Study, levels: Mapping[str, str]) -> str:
    return BETWEEN.join(study.factors[factor][level].label or level for factor, level in levels.items())


def _relabelled(run: Run, label: str, seed: int, alike: dict[str, Setting | None]) -> Run:
    """`run` under the label and seed of its cell, with the settings `alike` and without folders of this machine."""
    settings = {**run.settings, **alike}
    update = {"label": label, "seed": seed, "model": _name(run.rows[0].model),
              "settings": {key: _name(value) if isinstance(value, str) else value for key, value in settings.items()}}
    return replace(run, rows=[row.model_copy(update=update) for row in run.rows], given_label=label)


def _name(text: str) -> str:
    """Last part of an absolute path, of the model of a run its stage and levels; other text as it is."""
    path = PurePosixPath(text)
    if path.name == folder.BEST and path.parent.parent.name == RUNS:
        return path.parent.name.rpartition("-seed")[0] or path.parent.name
    return path.name if path.is_absolute() else text
