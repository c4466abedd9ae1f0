"""Numbers behind the report's figures as rows of CSV, the header first; scores and differences unscaled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainer.plots import figures as shared
from trainer.report.data.certified import Curve
from trainer.report.data.compare import Comparison
from trainer.report.data.grid import Cell, Grid
from trainer.statistics.summary import summarise

Rows = list[list[object]]


def by_language(grid: Grid) -> Rows:
    """Mean and deviation per label and language."""
    rows: Rows = [["label", "language", "language_name", "seeds", f"mean_{grid.metric}", "deviation", "chance"]]
    for label in grid.labels:
        for cell in grid.scored:
            if values := grid.values(label, cell):
                found = summarise(values)
                rows.append([label, cell[0], grid.info(cell[0]).get("name", ""), found.count, found.mean,
                             found.deviation, grid.chance(cell)])
    return rows


def differences(comparisons: Sequence[Comparison]) -> Rows:
    """Intervals of means and single languages."""
    rows: Rows = [["label", "base", "over", "difference", "low", "high", "p", "p_holm", "covers_training", "claimed"]]
    for c in comparisons:
        named = [*((f"mean, {name}", interval) for name, (_, interval) in c.means.items()),
                 *((cell[0], interval) for cell, interval in zip(c.cells, c.intervals, strict=True))]
        rows += [[c.other, c.base, name, i.estimate, i.low, i.high, i.p, i.adjusted if i.covers_training else None,
                  i.covers_training, i.claimed] for name, i in named]
    return rows


def pairs(name: str, values: Mapping[Cell, float]) -> Rows:
    """A number per pair of languages."""
    return [["premise", "hypothesis", name], *([first, second, value] for (first, second), value in values.items())]


def certified(panels: Sequence[tuple[str, Sequence[Curve]]]) -> Rows:
    """Points of the curves of certified accuracy."""
    rows: Rows = [["panel", "label", "radius", "certified_accuracy", "deviation", "accuracy_without_smoothing"]]
    for panel, curves in panels:
        for curve in curves:
            rows += [[panel, curve.label, float(radius), float(mean), float(spread), curve.plain]
                     for radius, mean, spread in zip(curve.radii, curve.mean, curve.deviation, strict=True)]
    return rows


def spots(found: Sequence[shared.Spot]) -> Rows:
    """Points of a plot of accuracy by distance."""
    return [["language", "distance", "distance_deviation", "accuracy", "accuracy_deviation"],
            *([s.name, s.distance, s.distance_deviation, s.accuracy, s.accuracy_deviation] for s in found)]


def curves(panels: Mapping[str, Sequence[shared.Curve]]) -> Rows:
    """Points of curves of accuracy."""
    return [["panel", "label", "x", "accuracy", "deviation"],
            *([panel, line.name, x, y, spread] for panel, lines in panels.items() for line in lines
              for x, y, spread in zip(line.x, line.accuracy, line.deviation, strict=True))]
