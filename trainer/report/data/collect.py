"""Grids and missing cells from the rows of a report's runs.

Input: `Run`s. Output: one `Section` per task, split and metric, with a `Grid` for each setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from data_prep.base.errors import InputError
from data_prep.languages import canonical_code
from trainer.plots.palette import assign
from trainer.report.data.grid import Cell, Entries, Grid
from trainer.report.data.runs import Run, sharing_tasks
from trainer.results.scores import MISSING, RESULTS_FILE, ResultRow

BASE_LABEL = "plain"
SPLIT_ORDER = ("test", "dev", "train")
SMOOTHED = "smoothed"


@dataclass(frozen=True)
class Section:
    """The rows of one task, split and metric."""

    task: str
    split: str
    metric: str
    title: str
    """Task and split; the metric too where the task has several."""
    standard: Grid
    generalized: Grid
    oracle: Grid
    smoothed: list[tuple[Run, ResultRow]]
    """Rows of randomized smoothing; they are part of no grid."""

    @property
    def grids(self) -> list[Grid]:
        return [self.standard, self.generalized, self.oracle]


@dataclass(frozen=True)
class Missing:
    """A cell that another run has, or that was asked for, without a result in this run."""

    run: Run
    task: str
    split: str
    metric: str
    setting: str
    cell: Cell
    reason: str

    @property
    def cell_name(self) -> str:
        return self.cell[0] if self.setting != "generalized" else f"{self.cell[0]}→{self.cell[1]}"


def split_position(split: str) -> tuple[int, str]:
    """Sort key of splits: test, dev, train, then the rest by name."""
    return SPLIT_ORDER.index(split) if split in SPLIT_ORDER else len(SPLIT_ORDER), split


def lay_out(runs: Sequence[Run], base: str = BASE_LABEL) -> list[Section]:
    """Sections of all rows: tasks in input order, within a task by split (test first), then metrics in input order.

    base: label to put first; the others follow in input order.

    Raises InputError for two rows of one label, seed and cell, and a smoothed row without its standard one.
    """
    rows = [(run, row) for run in runs for row in run.rows]
    found = dict.fromkeys((row.task, row.split, row.metric) for _, row in rows)
    tasks = list(dict.fromkeys(task for task, _, _ in found))
    given = {run.label: run.given_label for run in runs}
    labels = sorted(given, key=lambda label: given[label] != base)
    positions = {label: position for position, label in enumerate(labels)}
    methods = {run.label: run.rows[0].method for run in reversed(runs)}
    colours = assign({label: methods[label] for label in labels})
    several = {task for task in tasks if len({metric for other, _, metric in found if other == task}) > 1}
    return [_section([(run, row) for run, row in rows if (row.task, row.split, row.metric) == key], *key,
                     title=" / ".join(key if key[0] in several else key[:2]), positions=positions, colours=colours)
            for key in sorted(found, key=lambda key: (tasks.index(key[0]), split_position(key[1])))]


def missing_cells(runs: Sequence[Run]) -> list[Missing]:
    """Cells that one run has a row for and another has not, where both share a task, directly or through others; and
    cells that a run itself calls missing."""
    return [missing for group in sharing_tasks(runs) for missing in _missing_of(group)]


def _missing_of(runs: Sequence[Run]) -> list[Missing]:
    by_run = [{_cell_key(row): row for row in run.rows if row.setting != SMOOTHED} for run in runs]
    wanted = dict.fromkeys(key for rows in by_run for key in rows)
    found: list[Missing] = []
    for run, rows in zip(runs, by_run, strict=True):
        for key in wanted:
            if key not in rows and not (run.averaged and key[3] == "oracle"):
                found.append(Missing(run, *key, reason="not evaluated"))
            elif key in rows and rows[key].note.startswith(MISSING):
                found.append(Missing(run, *key, reason=rows[key].note.removeprefix(MISSING)))
    return found


def _cell_key(row: ResultRow) -> tuple[str, str, str, str, Cell]:
    return row.task, row.split, row.metric, _setting(row), (row.language, row.language_2)


def _setting(row: ResultRow) -> str:
    return "oracle" if row.selection == "oracle" else row.setting


def _section(rows: Sequence[tuple[Run, ResultRow]], task: str, split: str, metric: str, *, title: str,
             positions: dict[str, int], colours: dict[str, int]) -> Section:
    entries: dict[str, Entries] = {"standard": {}, "generalized": {}, "oracle": {}}
    failed: dict[str, Entries] = {"standard": {}, "generalized": {}, "oracle": {}}
    smoothed = [(run, row) for run, row in rows if row.setting == SMOOTHED]
    members = [(run, row) for run, row in rows if row.setting != SMOOTHED]
    for run, row in members:
        known = (failed if run.failed else entries)[_setting(row)]
        key = (row.label, row.seed, (row.language, row.language_2))
        if key in known:
            raise InputError(f"{known[key][0].path} and {run.path} both hold {task}/{split} {row.language} for label "
                             f"{row.label!r} and seed {row.seed}; give them different labels, or leave one out")
        known[key] = (run, row)
    for run, row in smoothed:
        if (row.label, row.seed, (row.language, row.language_2)) not in (failed if run.failed else entries)["standard"]:
            raise InputError(f"{run.path / 'eval' / RESULTS_FILE}: {task}/{split} {row.language} has a smoothed row "
                             f"and no standard one; evaluate the run again")
    source = _source([row for _, row in members])
    grids = {name: Grid(name, metric, source, positions, colours, entries[name], failed[name]) for name in entries}
    return Section(task, split, metric, title, **grids, smoothed=[(run, row) for run, row in smoothed
                                                                  if not run.failed])


def _source(rows: Sequence[ResultRow]) -> str | None:
    """The first training language that has rows, whichever language that is."""
    languages = {canonical_code(row.language): row.language for row in reversed(rows)}
    trained = (canonical_code(language) for row in rows for language in row.train_languages)
    return next((languages[language] for language in trained if language in languages), None)
