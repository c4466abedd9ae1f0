"""Grid: the result rows of one task, split, metric and setting, by label, seed and cell.

Rows of failed runs are kept apart: they are part of no mean. Outcome files are read on demand, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from data_prep.base.errors import InputError
from data_prep.languages import canonical_code
from trainer.metrics import METRICS
from trainer.report.data.runs import Run
from trainer.results.outcomes import Outcomes, read_outcomes
from trainer.results.scores import NO_LABEL, ROUNDING, ResultRow, file_in

Cell = tuple[str, str]
"""Language of the first text, language of the second."""
Entries = dict[tuple[str, int, Cell], tuple[Run, ResultRow]]
"""Run and row by label, seed and cell."""


@dataclass
class Grid:
    """The rows of one task, split, metric and setting, by label, seed and cell."""

    setting: str
    """"standard", "generalized" or "oracle"."""
    metric: str
    """A key of METRICS."""
    source: str | None
    """The first training language that has rows, the reference of the others; None where none has."""
    positions: dict[str, int]
    """Index of every label of the report, the order of rows."""
    colours: dict[str, int]
    """Index of the colour and marker of every label of the report (`plots.palette`)."""
    entries: Entries
    failed: Entries
    """Rows of runs that collapsed or diverged; they are part of no mean."""
    _outcomes: dict[tuple[str, int, Cell], Outcomes] = field(default_factory=dict, repr=False)

    @cached_property
    def labels(self) -> list[str]:
        """Labels in the order of `positions`, the base label first."""
        return sorted({label for label, _, _ in self.entries}, key=self.positions.__getitem__)

    @cached_property
    def languages(self) -> list[str]:
        """Languages, the source language first, then in input order."""
        found = list(dict.fromkeys(language for _, _, cell in self.entries for language in cell))
        return sorted(found, key=lambda language: language != self.source)

    @cached_property
    def cells(self) -> list[Cell]:
        """Cells in the order of `languages`, sorted by the language of the first text, then of the second."""
        order = {language: i for i, language in enumerate(self.languages)}
        return sorted({cell for _, _, cell in self.entries}, key=lambda cell: (order[cell[0]], order[cell[1]]))

    @cached_property
    def scored(self) -> list[Cell]:
        """Cells with a value in at least one run."""
        with_value = {cell for (_, _, cell), (_, row) in self.entries.items() if row.value is not None}
        return [cell for cell in self.cells if cell in with_value]

    @cached_property
    def shared(self) -> list[Cell]:
        """Cells with a value in every run of this grid; averages are over these."""
        runs = [(label, seed) for label in self.labels for seed in self.seeds(label)]
        return [cell for cell in self.scored if all(self.value(*run, cell) is not None for run in runs)]

    def seeds(self, label: str) -> list[int]:
        """Seeds of the runs of `label` with a value in this grid; of those with any row where none has a value."""
        rows = [(seed, row) for (found, seed, _), (_, row) in self.entries.items() if found == label]
        scored = {seed for seed, row in rows if row.value is not None}
        return sorted(scored or {seed for seed, _ in rows})

    def value(self, label: str, seed: int, cell: Cell) -> float | None:
        """The value of one run in `cell`; None where there is none."""
        entry = self.entries.get((label, seed, cell))
        return entry[1].value if entry else None

    def values(self, label: str, cell: Cell) -> list[float]:
        """Values of `label` in `cell`, ordered by seed; seeds without a value are left out."""
        found = (self.value(label, seed, cell) for seed in self.seeds(label))
        return [value for value in found if value is not None]

    def means(self, label: str, cells: Sequence[Cell]) -> list[float]:
        """Unweighted mean over `cells` per seed; seeds without a value in one of them are left out."""
        per_seed = ([self.value(label, seed, cell) for cell in cells] for seed in self.seeds(label))
        complete = ([v for v in row if v is not None] for row in per_seed)
        return [float(np.mean(row)) for row in complete if cells and len(row) == len(cells)]

    def sources(self, label: str) -> list[Cell]:
        """Scored cells of the languages that the runs of `label` were trained on."""
        trained = {canonical_code(language) for (found, _, _), (_, row) in self.entries.items() if found == label
                   for language in row.train_languages}
        return [cell for cell in self.scored if cell[0] == cell[1] and canonical_code(cell[0]) in trained]

    def gaps(self, label: str, cells: Sequence[Cell]) -> list[float]:
        """Mean over the training languages minus mean over `cells`, per seed; incomplete seeds are left out."""
        sources, found = self.sources(label), []
        for seed in self.seeds(label):
            tops = [self.value(label, seed, cell) for cell in sources]
            row = [self.value(label, seed, cell) for cell in cells]
            if tops and row and None not in (*tops, *row):
                found.append(float(np.mean([v for v in tops if v is not None]))
                             - float(np.mean([v for v in row if v is not None])))
        return found

    def failed_seeds(self, label: str) -> list[int]:
        """Seeds of the failed runs (collapsed or diverged) of `label`."""
        return sorted({seed for found, seed, _ in self.failed if found == label})

    def means_with_failed(self, label: str, cells: Sequence[Cell]) -> list[float]:
        """As `means`, failed seeds included."""
        rows = [[self.failed[key][1].value for cell in cells if (key := (label, seed, cell)) in self.failed]
                for seed in self.failed_seeds(label)]
        complete = ([v for v in row if v is not None] for row in rows)
        return [*self.means(label, cells), *(float(np.mean(row)) for row in complete if len(row) == len(cells) > 0)]

    def chance(self, cell: Cell) -> float | None:
        """Accuracy of the majority class of `cell`; None where it is unknown."""
        found = (row.chance for (_, _, at), (_, row) in self.entries.items() if at == cell and row.value is not None)
        return next((chance for chance in found if chance is not None), None)

    def at_chance(self, label: str, cells: Sequence[Cell]) -> list[int]:
        """Seeds of `label` whose mean over `cells` is not above chance.

        The limit is the mean over cells of chance plus the sampling error of a single cell: errors of parallel test
        sets are correlated, so a mean of many cells gets no closer limit.
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
        """Reason why `label` has no value in `cell`: "no label" or "missing"."""
        rows = [self.entries[key][1] for seed in self.seeds(label) if (key := (label, seed, cell)) in self.entries]
        return NO_LABEL if any(row.note == NO_LABEL for row in rows) else "missing"

    def info(self, language: str) -> dict[str, str]:
        """Name, family, script and so on of a language; empty where unknown."""
        for (_, _, cell), (_, row) in self.entries.items():
            if cell[0] == language and row.language_info:
                return row.language_info
        return {}

    def examples(self) -> list[int]:
        """Distinct numbers of scored examples per cell, ascending."""
        return sorted({row.n for _, row in self.entries.values() if row.value is not None})

    def sentences(self, cell: Cell) -> str:
        """Prefix of keys, which cells share where equal keys mean the same sentence; empty for the publisher's keys."""
        found = {row.joined_by for (_, _, at), (_, row) in self.entries.items() if at == cell}
        if found <= {None, "publisher"}:
            return ""
        return f"{found.pop()} " if len(found) == 1 and "" not in found else f"{'-'.join(cell)} "

    def has_outcomes(self, label: str, seed: int, cell: Cell) -> bool:
        """True if the row has a value and names an outcome file."""
        entry = self.entries.get((label, seed, cell))
        return entry is not None and entry[1].outcomes is not None and entry[1].value is not None

    def outcomes(self, label: str, seed: int, cell: Cell) -> Outcomes:
        """Outcomes of one cell, keys sorted as text and equal only for the same sentence; the file is read once.

        Raises InputError where the file is missing or damaged, or does not give the row's value, as after an
        interrupted or edited evaluation: intervals would then be of other predictions than the table.
        """
        key = (label, seed, cell)
        if key not in self._outcomes:
            run, row = self.entries[key]
            path, metric, value = file_in(run.path / "eval", str(row.outcomes)), METRICS[self.metric], row.value or 0.0
            found = read_outcomes(path, smallest=metric.smallest_count, largest=metric.largest_count)
            try:
                score = metric.score(found.counts)
            except (ValueError, IndexError) as error:
                raise InputError(f"{path}: no counts of {self.metric} ({error}); evaluate the run again") from None
            if found.keys.size != row.n or not abs(score - value) <= 1e-4 * max(1.0, value):
                raise InputError(f"{path}: holds {found.keys.size} outcomes with {self.metric} {score:.6g}; its row "
                                 f"says {row.n} with {value:.6g}; evaluate the run again")
            order = np.argsort(found.keys)
            known = self.sentences(cell)
            keys, groups = (np.char.add(known, names[order]) for names in (found.keys, found.groups))
            self._outcomes[key] = Outcomes(keys, found.counts[order], groups)
        return self._outcomes[key]
