"""Comparison of the base label with every other label: paired differences of a metric, with intervals.

Input: a grid and its outcome files. Output: `Comparison`s. Holm's correction is over all labels of the grid: of each
mean over the labels, of single cells over labels and cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from trainer.metrics import METRICS
from trainer.report.data.collect import BASE_LABEL
from trainer.report.data.grid import Cell, Grid
from trainer.report.data.runs import HASHES, differing, short_name
from trainer.results.numbers import listed
from trainer.statistics.differences import (
    SEEDS_FOR_CLAIMS,
    Differences,
    Interval,
    corrected,
    corrected_means,
    paired_differences,
)

Means = Callable[[Grid, Sequence[Cell]], dict[str, list[Cell]]]
"""Means to report over cells of a grid, by name."""


@dataclass(frozen=True)
class Comparison:
    """`other` minus `base` on the cells and seeds that both have."""

    base: str
    other: str
    seeds: list[int]
    unpaired: list[tuple[str, int]]
    """Runs (label, seed) without a partner of equal seed; they are left out."""
    cells: list[Cell]
    intervals: list[Interval]
    """Per cell."""
    means: dict[str, tuple[list[Cell], Interval]]
    """By name, the cells of a mean and its interval."""
    examples: int
    """Number of distinct examples."""
    labels: int = 1
    """Labels compared with the base in this grid, the size of the family of means in Holm's correction."""
    dependent: str = ""
    """Reason why the runs are not independent seeds of one recipe, so that nothing is claimed of the method."""
    apart: list[list[Cell]] = field(default_factory=list)
    """Cells by the set of sentences that they are of, where there are several sets: unlike cells share no example."""
    given: str = ""
    """Condition shared by all runs besides the recipe, which the intervals do not cover; else empty."""

    @property
    def covers_training(self) -> bool:
        """True if there are enough independent seeds for a statement on the method, not only on these runs."""
        return len(self.seeds) >= SEEDS_FOR_CLAIMS and not self.dependent

    @property
    def main(self) -> tuple[list[Cell], Interval]:
        """Cells and interval of the first mean, the subject of the summary."""
        return next(iter(self.means.values()))


def compare(grid: Grid) -> list[Comparison]:
    """Comparisons of every label with the base label ("plain", else the first); empty without outcomes of both.

    Raises InputError for outcome files that do not fit their rows.
    """
    base = base_label(grid)
    return compare_pairs(grid, [(base, label) for label in grid.labels if label != base], means_over)


def compare_pairs(grid: Grid, pairs: Sequence[tuple[str, str]], means: Means) -> list[Comparison]:
    """Comparisons of pairs of labels (base, other), Holm's correction over all of them; without those that share no
    outcomes.

    means: of a grid and cells, the means to report by name; the first one is tested first. Raises: see `compare`.
    """
    found = (_compare(grid, base, other, len(pairs), means) for base, other in pairs)
    return _corrected([comparison for comparison in found if comparison is not None])


def contrast(grid: Grid, comparison: Comparison, weights: Mapping[Cell, float], labels: int = 1) -> Interval:
    """Interval of the sum over cells of weight times difference, on the seeds and examples of `comparison`.

    labels: number of such contrasts that are corrected together.
    """
    cells = list(weights)
    ids = [_common_ids(grid, comparison.base, comparison.other, comparison.seeds, cell) for cell in cells]
    return _differences(grid, comparison.base, comparison.other, comparison.seeds, cells, ids, means=(),
                        contrasts=[list(weights.values())], labels=labels,
                        covers_training=not comparison.dependent).contrasts[0]


def _corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Holm's correction over the comparisons of one grid."""
    singles = iter(corrected([interval for c in comparisons for interval in c.intervals]))
    done = [replace(c, intervals=[next(singles) for _ in c.cells], labels=len(comparisons)) for c in comparisons]
    for c, intervals in zip(done, corrected_means([[i for _, i in c.means.values()] for c in done]), strict=True):
        for (name, (cells, _)), interval in zip(list(c.means.items()), intervals, strict=True):
            c.means[name] = (cells, interval)
    return done


def base_label(grid: Grid) -> str:
    """Label that the others are compared with."""
    labels = grid.labels
    return labels[0] if labels else BASE_LABEL


def means_over(grid: Grid, cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Reported means over `cells`, name to cells; a mean over the same cells as an earlier one is left out."""
    if grid.setting == "generalized":
        off = [cell for cell in cells if cell[0] != cell[1]]
        diagonal = [cell for cell in cells if cell[0] == cell[1]]
        named = {
            f"all {len(cells)} pairs": list(cells),
            f"{len(off)} off-diagonal": off,
            f"{len(diagonal)} diagonal": diagonal,
        }
    else:
        others, trained = without_sources(grid, cells), _trained_on(grid)
        name = f"non-{next(iter(trained))[0]}" if len(trained) == 1 else "not trained on"
        named = {f"all {len(cells)}": list(cells), f"{len(others)} {name}": others}
    kept: dict[str, list[Cell]] = {}
    for name, members in named.items():
        if members and members not in kept.values():
            kept[name] = members
    return kept


def without_sources(grid: Grid, cells: Sequence[Cell]) -> list[Cell]:
    """Cells of languages that no label was trained on."""
    trained = _trained_on(grid)
    return [cell for cell in cells if cell not in trained]


def _trained_on(grid: Grid) -> set[Cell]:
    return {cell for label in grid.labels for cell in grid.sources(label)}


def _compare(grid: Grid, base: str, other: str, labels: int, means: Means) -> Comparison | None:
    """Comparison of two labels on the seeds, cells and examples that both have; None where there are none.

    Where runs are pooled over unlike data, equal ids of two seeds are different sentences. The example part of the
    variance is then zero on average and contained in the seed part, so the intervals stay valid.
    """
    if not {base, other} <= set(grid.labels):
        return None
    seeds = [seed for seed in grid.seeds(base) if seed in grid.seeds(other)]
    cells = [
        cell for cell in grid.scored
        if seeds and all(grid.has_outcomes(label, seed, cell) for label in (base, other) for seed in seeds)
    ]
    cells = [cell for cell in cells if _common_ids(grid, base, other, seeds, cell).size]
    if not cells:
        return None
    ids_by_cell = [_common_ids(grid, base, other, seeds, cell) for cell in cells]
    named, (dependent, given) = means(grid, cells), _dependence(grid, base, other, seeds)
    result = _differences(grid, base, other, seeds, cells, ids_by_cell, labels=labels, covers_training=not dependent,
                          means=[[cells.index(c) for c in named[n]] for n in named])
    return Comparison(
        base=base,
        other=other,
        seeds=seeds,
        unpaired=[(label, seed) for label in (base, other) for seed in grid.seeds(label) if seed not in seeds],
        cells=cells,
        intervals=result.cells,
        means={name: (named[name], interval) for name, interval in zip(named, result.means, strict=True)},
        examples=int(np.unique(np.concatenate(ids_by_cell)).size),
        dependent=dependent,
        given=given,
        apart=_apart(grid, cells),
    )


def _differences(grid: Grid, base: str, other: str, seeds: Sequence[int], cells: Sequence[Cell],
                 ids_by_cell: Sequence[np.ndarray], *, means: Sequence[Sequence[int]],
                 contrasts: Sequence[Sequence[float]] = (), labels: int, covers_training: bool) -> Differences:
    """`paired_differences` of other minus base on `cells`, each with its ids."""
    all_ids = np.unique(np.concatenate(ids_by_cell))
    fraction = METRICS[grid.metric].is_fraction
    difference = np.zeros((len(seeds), len(cells), all_ids.size), dtype=np.float32 if fraction else np.float64)
    present = np.zeros((len(cells), all_ids.size), dtype=np.bool_)
    for c, (cell, ids) in enumerate(zip(cells, ids_by_cell, strict=True)):
        columns = np.searchsorted(all_ids, ids)
        present[c, columns] = True
        for s, seed in enumerate(seeds):
            difference[s, c, columns] = (_contributions(grid, other, seed, cell, ids)
                                         - _contributions(grid, base, seed, cell, ids))
    return paired_differences(difference, present, means, contrasts=contrasts, labels=labels, fraction=fraction,
                              groups_N=_groups(grid, base, seeds[0], cells, all_ids), covers_training=covers_training)


def _apart(grid: Grid, cells: Sequence[Cell]) -> list[list[Cell]]:
    """`Comparison.apart` of `cells`."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(grid.sentences(cell), []).append(cell)
    return list(found.values()) if len(found) > 1 else []


def _dependence(grid: Grid, base: str, other: str, seeds: Sequence[int]) -> tuple[str, str]:
    """`Comparison.dependent` and `Comparison.given` of two labels.

    Seeds that start from one intermediate run share its luck, which is then part of every difference, unless both
    labels share it. Pooled runs whose recipes differ are not seeds of one recipe; data that differ by seed (worlds of
    the demo) are as good as seeds, since both labels see them.
    """
    rows = {label: [row for (found, seed, _), (_, row) in grid.entries.items() if found == label and seed in seeds]
            for label in (base, other)}
    for label, members in rows.items():
        if len(seeds) > 1 and not all(row.settings for row in members):
            return f"runs of {label} record no recipe", ""
        unlike = set(differing([dict(row.settings) for row in members if row.settings])) - set(HASHES)
        if unlike:
            differ = listed(sorted(map(short_name, unlike)))
            return f"the runs of {label} were pooled although they differ in {differ}", ""
    origins = {label: {row.seed: row.origin_run for row in members} for label, members in rows.items()}
    shared = [label for label in (base, other) if len(set(origins[label].values())) < len(seeds)
              and any(origins[label].values())]
    if shared and origins[base] == origins[other]:
        return "", "seeds start from one intermediate run, whose luck the intervals do not cover"
    return (f"seeds of {shared[0]} start from one intermediate run and share its luck" if shared else ""), ""


def _groups(grid: Grid, base: str, seed: int, cells: Sequence[Cell], all_ids: np.ndarray) -> np.ndarray:
    """(N,) group index of each example of `all_ids`, taken from the first cell that has it."""
    names = all_ids.copy().astype(object)
    known = np.zeros(all_ids.size, dtype=np.bool_)
    for cell in cells:
        keys, _, groups = grid.outcomes(base, seed, cell)
        places = np.searchsorted(all_ids, keys)
        places[places == all_ids.size] = 0
        new = (all_ids[places] == keys) & ~known[places]
        names[places[new]] = groups[new]
        known[places[new]] = True
    return np.unique(names.astype(np.str_), return_inverse=True)[1].astype(np.int64)


def _common_ids(grid: Grid, base: str, other: str, seeds: Sequence[int], cell: Cell) -> np.ndarray:
    """Sorted keys that both labels have outcomes for with every seed."""
    files = [grid.outcomes(label, seed, cell)[0] for label in (base, other) for seed in seeds]
    common = files[0]
    for ids in files[1:]:
        if not np.array_equal(common, ids):  # the usual case: one test file for all
            common = np.intersect1d(common, ids, assume_unique=True)
    return common


def _contributions(grid: Grid, label: str, seed: int, cell: Cell, ids: np.ndarray) -> np.ndarray:
    """(N,) contributions of the examples `ids` to the metric over them; the file holds all of them."""
    file_ids, counts, _ = grid.outcomes(label, seed, cell)
    return METRICS[grid.metric].contributions(counts[np.searchsorted(file_ids, ids)])
