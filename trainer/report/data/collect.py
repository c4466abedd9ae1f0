"""Lay the rows of a report's runs out in grids.

Input: `Run`s (see `runs`) and the outcome files that their rows name. Output: `Section`s, one per task
and split, each with up to three `Grid`s (standard, generalized, oracle) and the rows of randomized smoothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from data_prep.base.errors import InputError
from trainer.report.data.runs import Run
from trainer.results.outcomes import Outcomes, read_outcomes
from trainer.results.scores import MISSING, NO_LABEL, RESULTS_FILE, ROUNDING, ResultRow, file_in

BASE_LABEL = "plain"
SPLIT_ORDER = ("test", "dev", "train")
SMOOTHED = "smoothed"

Cell = tuple[str, str]
"""Language of the first text, language of the second."""


@dataclass
class Grid:
    """The rows of one task, split and setting, by label, seed and cell."""

    task: str
    split: str
    setting: str
    """"standard", "generalized" or "oracle"."""
    metric: str
    source: str | None
    """The first training language that has rows, what others are held against; None where none has."""
    positions: dict[str, int]
    """Every label of the report and its place in order: a label has one colour throughout."""
    entries: dict[tuple[str, int, Cell], tuple[Run, ResultRow]] = field(default_factory=dict)
    failed: dict[tuple[str, int, Cell], tuple[Run, ResultRow]] = field(default_factory=dict)
    """Rows of runs that collapsed or diverged: they are in no mean."""
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

    def sources(self, label: str) -> list[Cell]:
        """The cells of the languages that the runs of `label` were trained on, those that have a number."""
        trained = {language for (found, _, _), (_, row) in self.entries.items() if found == label
                   for language in row.train_languages}
        return [cell for cell in self.scored if cell[0] == cell[1] and cell[0] in trained]

    def gaps(self, label: str, cells: Sequence[Cell]) -> list[float]:
        """Per seed, the mean over the training languages minus the mean over `cells`; incomplete seeds are left out."""
        sources, found = self.sources(label), []
        for seed in self.seeds(label):
            tops = [self.value(label, seed, cell) for cell in sources]
            row = [self.value(label, seed, cell) for cell in cells]
            if tops and row and None not in (*tops, *row):
                found.append(float(np.mean([v for v in tops if v is not None]))
                             - float(np.mean([v for v in row if v is not None])))
        return found

    def failed_seeds(self, label: str) -> list[int]:
        """Seeds of the runs with `label` that collapsed or diverged."""
        return sorted({seed for found, seed, _ in self.failed if found == label})

    def means_with_failed(self, label: str, cells: Sequence[Cell]) -> list[float]:
        """As `means`, failed seeds included."""
        rows = [[self.failed[key][1].value for cell in cells if (key := (label, seed, cell)) in self.failed]
                for seed in self.failed_seeds(label)]
        complete = ([v for v in row if v is not None] for row in rows)
        return [*self.means(label, cells), *(float(np.mean(row)) for row in complete if len(row) == len(cells) > 0)]

    def chance(self, cell: Cell) -> float | None:
        """Accuracy of always naming the most frequent class of `cell`; None where no row says."""
        found = (row.chance for (_, _, at), (_, row) in self.entries.items() if at == cell and row.value is not None)
        return next((chance for chance in found if chance is not None), None)

    def at_chance(self, label: str, cells: Sequence[Cell]) -> list[int]:
        """Seeds of `label` whose mean over `cells` is no better than chance.

        That is, no higher than the cells' mean level of chance and what is allowed to a single cell for its sampling
        error: the errors of parallel test sets go together, and a mean of many cells gets no closer limit.
        """
        found = []
        for seed in self.seeds(label):
            rows = [self.entries[key][1] for cell in cells if (key := (label, seed, cell)) in self.entries]
            known = [(row.value, row.chance_limit) for row in rows]
            pairs = [(value, limit) for value, limit in known if value is not None and limit is not None]
            if pairs and len(pairs) == len(cells) and np.mean([v - limit for v, limit in pairs]) <= ROUNDING:
                found.append(seed)
        return found

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
        """The outcomes of one cell, keys sorted as text, read once.

        Raises InputError where the file is missing, damaged, or does not belong to the row's score.
        """
        key = (label, seed, cell)
        if key not in self._outcomes:
            run, row = self.entries[key]
            path = file_in(run.path / "eval", str(row.outcomes))
            keys, counts, groups = read_outcomes(path)
            right = counts[:, 0]
            # An interrupted or edited evaluation: intervals would then describe other predictions than the table.
            if keys.size != row.n or (row.metric == "accuracy" and abs(right.mean() - (row.value or 0)) > 1e-4):
                raise InputError(f"{path}: holds {keys.size} outcomes, {100 * right.mean():.2f} % right; its row says "
                                 f"{row.n}, {100 * (row.value or 0):.2f} %; evaluate the run again")
            order = np.argsort(keys)
            self._outcomes[key] = Outcomes(keys[order], counts[order], groups[order])
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


def lay_out(runs: Sequence[Run]) -> list[Section]:
    """The rows of all runs as sections: tasks in the order given, within a task test, dev, train, then the rest."""
    pairs = dict.fromkeys((row.task, row.split) for run in runs for row in run.rows)
    tasks = list(dict.fromkeys(task for task, _ in pairs))

    def position(pair: tuple[str, str]) -> tuple[int, int, str]:
        task, split = pair
        return tasks.index(task), SPLIT_ORDER.index(split) if split in SPLIT_ORDER else len(SPLIT_ORDER), split

    given = {run.label: run.given_label for run in runs}
    order = sorted(given, key=lambda label: given[label] != BASE_LABEL)
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
    source = _source([row for _, row in members])
    positions = {label: position for position, label in enumerate(labels)}
    grids = {name: Grid(task, split, name, metrics[0], source, positions)
             for name in ("standard", "generalized", "oracle")}
    for run, row in members:
        grid = grids[_setting(row)]
        entries = grid.failed if run.failed else grid.entries
        key = (row.label, row.seed, (row.language, row.language_2))
        if key in entries:
            raise InputError(f"{entries[key][0].path} and {run.path} both hold {task}/{split} {row.language} for label "
                             f"{row.label!r} and seed {row.seed}; give them different labels, or leave one out")
        entries[key] = (run, row)
    for run, row in smoothed:
        if (row.label, row.seed, (row.language, row.language_2)) not in (
                grids["standard"].failed if run.failed else grids["standard"].entries):
            raise InputError(f"{run.path / 'eval' / RESULTS_FILE}: {task}/{split} {row.language} has a smoothed row "
                             f"and no standard one; evaluate the run again")
    trained = [(run, row) for run, row in smoothed if not run.failed]
    return Section(task, split, metrics[0], **grids, smoothed=trained)


def _source(rows: Sequence[ResultRow]) -> str | None:
    """The first training language that has rows; English plays no part of its own."""
    languages = {row.language for row in rows}
    trained = (language for row in rows for language in row.train_languages)
    return next((language for language in trained if language in languages), None)
