"""Read the runs of a report and lay their rows out in grids.

Input: `<run>/eval/results.jsonl` and the outcome files it names; nothing else of a run is opened.
Output: `Section`s, one per task and split, each with up to three `Grid`s (standard, generalized, oracle) and the rows
of randomized smoothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data_prep.errors import InputError
from trainer.evaluate.predictions import read_outcomes
from trainer.evaluate.rows import MISSING, NO_LABEL, RESULTS_FILE, ResultRow, file_in, read_rows

BASE_LABEL = "plain"
SOURCE_LANGUAGE = "en"
SPLIT_ORDER = ("test", "dev", "train")
SMOOTHED = "smoothed"

Cell = tuple[str, str]
"""Language of the first text, language of the second."""

Outcomes = tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Run:
    """One run directory and its result rows."""

    path: Path
    rows: list[ResultRow]

    @property
    def name(self) -> str:
        return self.rows[0].run

    @property
    def title(self) -> str:
        """How a person finds the run: its name, label and seed."""
        return f"{self.name} ({self.rows[0].label}, seed {self.rows[0].seed})"


@dataclass
class Grid:
    """The rows of one task, split and setting, by label, seed and cell."""

    task: str
    split: str
    setting: str
    """"standard", "generalized" or "oracle"."""
    metric: str
    source: str | None
    """The language the others are compared with: English, else the first training language, else None."""
    positions: dict[str, int]
    """Every label of the report and its place in order: a label has one colour throughout."""
    entries: dict[tuple[str, int, Cell], tuple[Run, ResultRow]] = field(default_factory=dict)
    _outcomes: dict[tuple[str, int, Cell], Outcomes] = field(default_factory=dict, repr=False)

    @property
    def labels(self) -> list[str]:
        """Labels, the base one first, then in the order given."""
        return sorted({label for label, _, _ in self.entries}, key=self.positions.__getitem__)

    @property
    def languages(self) -> list[str]:
        """Languages, the source language first, then in the order given."""
        found = list(dict.fromkeys(language for _, _, cell in self.entries for language in cell))
        return sorted(found, key=lambda language: language != self.source)

    @property
    def cells(self) -> list[Cell]:
        """Cells in the order of `languages`, the first text's language outermost."""
        order = {language: i for i, language in enumerate(self.languages)}
        return sorted({cell for _, _, cell in self.entries}, key=lambda cell: (order[cell[0]], order[cell[1]]))

    @property
    def scored(self) -> list[Cell]:
        """Cells for which at least one run has a number."""
        with_value = {cell for (_, _, cell), (_, row) in self.entries.items() if row.value is not None}
        return [cell for cell in self.cells if cell in with_value]

    @property
    def shared(self) -> list[Cell]:
        """Cells for which every run of this grid has a number: what averages may be taken over."""
        runs = [(label, seed) for label in self.labels for seed in self.seeds(label)]
        return [cell for cell in self.scored if all(self.value(*run, cell) is not None for run in runs)]

    def seeds(self, label: str) -> list[int]:
        """Seeds of the runs with `label` that have a number in this grid, or any row if none has."""
        rows = [(seed, row) for (found, seed, _), (_, row) in self.entries.items() if found == label]
        scored = {seed for seed, row in rows if row.value is not None}
        return sorted(scored or {seed for seed, _ in rows})

    def value(self, label: str, seed: int, cell: Cell) -> float | None:
        entry = self.entries.get((label, seed, cell))
        return entry[1].value if entry else None

    def values(self, label: str, cell: Cell) -> list[float]:
        """The values of a label's seeds in `cell`, those that exist, in the order of seeds."""
        found = (self.value(label, seed, cell) for seed in self.seeds(label))
        return [value for value in found if value is not None]

    def means(self, label: str, cells: Sequence[Cell]) -> list[float]:
        """Per seed, the unweighted mean over `cells`; seeds that lack one of them are left out."""
        per_seed = ([self.value(label, seed, cell) for cell in cells] for seed in self.seeds(label))
        complete = ([v for v in row if v is not None] for row in per_seed)
        return [float(np.mean(row)) for row in complete if cells and len(row) == len(cells)]

    def gaps(self, label: str, cells: Sequence[Cell]) -> list[float]:
        """Per seed, the source language's value minus the mean over `cells`; seeds that lack one are left out."""
        source = (self.source or "", self.source or "")
        tops = ((self.value(label, seed, source), seed) for seed in self.seeds(label))
        rows = [(top, [self.value(label, seed, cell) for cell in cells]) for top, seed in tops if top is not None]
        full = ((top, [v for v in row if v is not None]) for top, row in rows)
        return [top - float(np.mean(row)) for top, row in full if cells and len(row) == len(cells)]

    def why_empty(self, label: str, cell: Cell) -> str:
        """Why `label` has no number in `cell`: "no label", or "missing"."""
        rows = [self.entries[key][1] for seed in self.seeds(label) if (key := (label, seed, cell)) in self.entries]
        return NO_LABEL if any(row.note == NO_LABEL for row in rows) else "missing"

    def info(self, language: str) -> dict[str, str]:
        """What is known of a language (name, family, script, ...); empty where nothing is."""
        for (_, _, cell), (_, row) in self.entries.items():
            if cell[0] == language and row.language_info:
                return row.language_info
        return {}

    def examples(self) -> list[int]:
        """Distinct numbers of scored examples per cell, ascending."""
        return sorted({row.n for _, row in self.entries.values() if row.value is not None})

    def has_outcomes(self, label: str, seed: int, cell: Cell) -> bool:
        entry = self.entries.get((label, seed, cell))
        return entry is not None and entry[1].outcomes is not None and entry[1].value is not None

    def outcomes(self, label: str, seed: int, cell: Cell) -> Outcomes:
        """Ids and right/wrong of one cell, read once.

        Raises InputError where the file is missing, damaged, or does not belong to the row's score.
        """
        key = (label, seed, cell)
        if key not in self._outcomes:
            run, row = self.entries[key]
            path = file_in(run.path / "eval", str(row.outcomes))
            ids, right = read_outcomes(path)
            # An interrupted or edited evaluation: intervals would then describe other predictions than the table.
            if ids.size != row.n or (row.metric == "accuracy" and abs(right.mean() - (row.value or 0)) > 1e-4):
                raise InputError(f"{path}: holds {ids.size} outcomes, {100 * right.mean():.2f} % right; its row says "
                                 f"{row.n}, {100 * (row.value or 0):.2f} %; evaluate the run again")
            self._outcomes[key] = (ids, right)
        return self._outcomes[key]


@dataclass(frozen=True)
class Section:
    """One task and split."""

    task: str
    split: str
    metric: str
    standard: Grid
    generalized: Grid
    oracle: Grid
    smoothed: list[tuple[Run, ResultRow]] = field(default_factory=list)
    """Rows of randomized smoothing; they are in none of the grids."""

    @property
    def title(self) -> str:
        return f"{self.task} / {self.split}"

    @property
    def grids(self) -> list[Grid]:
        return [self.standard, self.generalized, self.oracle]


@dataclass(frozen=True)
class Missing:
    """A cell that some run has, or asked for, and this run has no result for."""

    run: Run
    task: str
    split: str
    setting: str
    cell: Cell
    reason: str

    @property
    def cell_name(self) -> str:
        return self.cell[0] if self.setting != "generalized" else f"{self.cell[0]}→{self.cell[1]}"


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """The runs at `paths`, in their order.

    Raises InputError for no path, a path given twice, a run that was not evaluated, bad rows, and two runs that claim
    one cell under one label and seed.
    """
    if not paths:
        raise InputError("no run given; expected run directories: python -m trainer report runs/plain-s1 runs/pgd-s1")
    runs: list[Run] = []
    seen: set[str] = set()
    for path in paths:
        if (place := os.path.realpath(path)) in seen:
            raise InputError(f"run {path} is given twice; name each run once")
        seen.add(place)
        results = path / "eval" / RESULTS_FILE
        if not path.is_dir():
            raise InputError(f"{path} is not a directory; expected a run directory that holds eval/{RESULTS_FILE}")
        if not results.is_file():
            raise InputError(f"{path} has no eval/{RESULTS_FILE}: run `python -m trainer evaluate {path}` first")
        rows = read_rows(results)
        if not rows:
            raise InputError(f"{results} holds no rows: run `python -m trainer evaluate {path}` again")
        runs.append(Run(path, rows))
    return runs


def lay_out(runs: Sequence[Run]) -> list[Section]:
    """The rows of all runs as sections: tasks in the order given, within a task test, dev, train, then the rest."""
    pairs = dict.fromkeys((row.task, row.split) for run in runs for row in run.rows)
    tasks = list(dict.fromkeys(task for task, _ in pairs))

    def position(pair: tuple[str, str]) -> tuple[int, int, str]:
        task, split = pair
        return tasks.index(task), SPLIT_ORDER.index(split) if split in SPLIT_ORDER else len(SPLIT_ORDER), split

    labels = dict.fromkeys(row.label for run in runs for row in run.rows)
    order = sorted(labels, key=lambda label: label != BASE_LABEL)
    return [_section(runs, task, split, order) for task, split in sorted(pairs, key=position)]


def missing_cells(runs: Sequence[Run]) -> list[Missing]:
    """Cells that some run has a row for and another has not, and cells that a run itself calls missing."""
    wanted: dict[tuple[str, str, str, Cell], None] = {}
    for row in (row for run in runs for row in run.rows if row.setting != SMOOTHED):
        wanted[(row.task, row.split, _setting(row), (row.language, row.language_2))] = None
    found: list[Missing] = []
    for run in runs:
        rows = {(row.task, row.split, _setting(row), (row.language, row.language_2)): row for row in run.rows}
        for key in wanted:
            if key not in rows:
                found.append(Missing(run, *key, reason="not evaluated"))
            elif rows[key].note.startswith(MISSING):
                found.append(Missing(run, *key, reason=rows[key].note.removeprefix(MISSING)))
    return found


def _setting(row: ResultRow) -> str:
    return "oracle" if row.selection == "oracle" else row.setting


def _section(runs: Sequence[Run], task: str, split: str, labels: Sequence[str]) -> Section:
    everything = [(run, row) for run in runs for row in run.rows if (row.task, row.split) == (task, split)]
    members = [(run, row) for run, row in everything if row.setting != SMOOTHED]
    smoothed = [(run, row) for run, row in everything if row.setting == SMOOTHED]
    metrics = sorted({row.metric for _, row in everything})
    if len(metrics) > 1:
        raise InputError(f"{task}/{split} is scored by {' and by '.join(metrics)} in different runs; "
                         f"expected one metric: evaluate the runs again")
    source = _source(row for _, row in members)
    positions = {label: position for position, label in enumerate(labels)}
    grids = {name: Grid(task, split, name, metrics[0], source, positions)
             for name in ("standard", "generalized", "oracle")}
    for run, row in members:
        entries = grids[_setting(row)].entries
        key = (row.label, row.seed, (row.language, row.language_2))
        if key in entries:
            raise InputError(f"{entries[key][0].path} and {run.path} both hold {task}/{split} {row.language} for label "
                             f"{row.label!r} and seed {row.seed}; give them different labels, or leave one out")
        entries[key] = (run, row)
    for run, row in smoothed:
        if (row.label, row.seed, (row.language, row.language_2)) not in grids["standard"].entries:
            raise InputError(f"{run.path / 'eval' / RESULTS_FILE}: {task}/{split} {row.language} has a smoothed row "
                             f"and no standard one; evaluate the run again")
    return Section(task, split, metrics[0], **grids, smoothed=smoothed)


def _source(rows: Iterable[ResultRow]) -> str | None:
    rows = list(rows)
    languages = {row.language for row in rows}
    candidates = [SOURCE_LANGUAGE, *(language for row in rows for language in row.train_languages)]
    return next((language for language in candidates if language in languages), None)
