"""Figures of the report's grids (matplotlib): values by language, changes of means, differences, certified accuracy.

Each is drawn for a page, or anew for a phone (`narrow`): then languages go down instead of across, and panels stand
below each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from trainer.plots.palette import colour_of, marker_of
from trainer.plots.style import (
    CHANCE,
    CHANCE_NAME,
    DASHES,
    EDGE,
    FAINT,
    HALF,
    INK,
    NARROW,
    STYLE,
    WIDE,
    chance_line,
    legend_text,
    place_legend,
    wrapped,
    wrapped_title,
)
from trainer.report.data.certified import Curve
from trainer.report.data.compare import Comparison
from trainer.report.data.grid import Cell, Grid
from trainer.results.numbers import Scale, scale_of
from trainer.statistics.differences import Interval
from trainer.statistics.summary import Summary, summarise

AT_CHANCE = "†"
ROW = 0.21  # inches of a line of small text
MARKER = 6.0  # points


def metric_by_language(grid: Grid, narrow: bool = False) -> Figure:
    """One marker per label and language, error bars the standard deviation over seeds, where there are several."""
    scale, cells = scale_of(grid.metric), grid.scored
    step = max(0.34 if narrow else 0.5, 0.085 * len(grid.labels) + 0.12)  # inches per language
    length = 1.2 + step * len(cells)
    size = (NARROW, 0.8 + length) if narrow else (min(WIDE, max(HALF, length)), 3.9)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        room = step if narrow else (size[0] - 1.2) / len(cells)
        spread = min(0.72, 0.09 * len(grid.labels) / room)
        points = min(MARKER, 72 * room * 0.9 / len(grid.labels))
        for order, label in enumerate(grid.labels):
            shift = spread * ((order + 0.5) / len(grid.labels) - 0.5)
            found = [(i + shift, summarise(values)) for i, cell in enumerate(cells)
                     if (values := grid.values(label, cell))]
            if found:
                _markers(axes, scale, found, grid.colours[label], label, points, across=not narrow)
        _axis_of_languages(axes, [cell[0] for cell in cells], across=not narrow)
        (axes.set_xlabel if narrow else axes.set_ylabel)(scale.column)
        levels = {i: level for i, cell in enumerate(cells) if (level := grid.chance(cell)) is not None}
        (axes.vlines if narrow else axes.hlines)(
            [scale.factor * level for level in levels.values()], [i - 0.5 for i in levels], [i + 0.5 for i in levels],
            color=CHANCE, linewidth=1.2, linestyle=DASHES, zorder=1, label=CHANCE_NAME if levels else "")
        place_legend(figure)
    return figure


def _markers(axes: Axes, scale: Scale, found: Sequence[tuple[float, Summary]], index: int, label: str, points: float,
             across: bool) -> None:
    places = [place for place, _ in found]
    means = [scale.factor * summary.mean for _, summary in found]
    spread = [scale.factor * (summary.deviation or 0.0) for _, summary in found]
    shown = spread if any(spread) else None
    x, y = (places, means) if across else (means, places)
    axes.errorbar(x, y, xerr=None if across else shown, yerr=shown if across else None,
                  fmt=marker_of(index), color=colour_of(index), markersize=points, elinewidth=1.3, capsize=2,
                  label=legend_text(label), markeredgecolor="white", markeredgewidth=0.5)


def _axis_of_languages(axes: Axes, names: Sequence[str], across: bool) -> None:
    """Names at the ticks, faint lines between them; from the top where they go down."""
    places = range(len(names))
    if across:
        axes.set_xticks(places, names, rotation=90 if len(names) > 16 and max(map(len, names)) > 3 else 0)
        axes.set_xlim(-0.6, len(names) - 0.4)
    else:
        axes.set_yticks(places, names)
        axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y" if across else "x")
    axes.tick_params(axis="x" if across else "y", length=0)
    for boundary in range(1, len(names)):
        (axes.axvline if across else axes.axhline)(boundary - 0.5, color=FAINT, linewidth=0.5, zorder=0)


def error_caption(grid: Grid) -> str:
    """Words on the error bars; empty where there are none."""
    several = any(len(grid.values(label, cell)) > 1 for label in grid.labels for cell in grid.scored)
    return " Error bars: standard deviation over seeds." if several else " One seed each, so there are no error bars."


def chance_caption(grid: Grid) -> str:
    """Legend of the dashed line; empty where there is none."""
    known = any(grid.chance(cell) is not None for cell in grid.scored)
    return " Dashed: chance, always naming the most frequent class." if known else ""


def changes(grid: Grid, comparisons: Sequence[Comparison], narrow: bool = False) -> Figure:
    """Change of the mean by label, with its interval, and below it a dot per language; the best first."""
    scale = scale_of(grid.metric)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(NARROW if narrow else HALF, 1.35 + 0.48 * len(comparisons)), layout="constrained")
        axes = figure.add_subplot()
        for y, comparison in enumerate(comparisons):
            index = grid.colours[comparison.other]
            _interval_line(axes, scale, comparison.main[1], y - 0.12, index, width=2.2, points=8)
            if len(comparison.cells) > 1:
                axes.plot([scale.factor * interval.estimate for interval in comparison.intervals],
                          [y + 0.24] * len(comparison.cells), "o", color=colour_of(index), markersize=4, alpha=0.45,
                          markeredgewidth=0)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_yticks(range(len(comparisons)), [wrapped(c.other, 1.1 if narrow else 1.6) for c in comparisons])
        axes.set_ylim(len(comparisons) - 0.5, -0.5)
        bases = {c.base for c in comparisons}
        of = wrapped(next(iter(bases)), 2.2) if len(bases) == 1 else "the base"
        axes.set_xlabel(f"difference to {of}{f' ({scale.step})' if scale.step else ''}")
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        dot = Line2D([], [], marker="o", linestyle="", color=INK, markersize=4, alpha=0.45, markeredgewidth=0)
        single = any(len(c.cells) > 1 for c in comparisons)
        handles, names = claim_handles(comparisons)
        place_legend(figure, [*handles, *([dot] if single else [])], [*names, *(["one language"] if single else [])])
    return figure


def claim_handles(comparisons: Sequence[Comparison]) -> tuple[list[Line2D], list[str]]:
    """Legend of intervals and of filled and open markers, those that occur."""
    drawn = [interval for c in comparisons for interval in (c.main[1], *c.intervals)]
    kinds = {"gain or loss, 95 % interval": any(interval.claimed for interval in drawn),
             "no claim, 95 % interval": any(not interval.claimed for interval in drawn)}
    handles = [Line2D([], [], marker="o", color=INK, markersize=6, linewidth=1.6,
                      markerfacecolor=INK if name.startswith("gain") else "white") for name in kinds]
    shown = [pair for pair in zip(handles, kinds, strict=True) if kinds[pair[1]]]
    return [handle for handle, _ in shown], [name for _, name in shown]


def differences(grid: Grid, comparisons: Sequence[Comparison], narrow: bool = False) -> Figure:
    """Difference of each label to its base per language, with intervals, a panel per label; filled markers are claims.
    """
    scale = scale_of(grid.metric)
    cells = [cell for cell in grid.scored if any(cell in c.cells for c in comparisons)]
    marked = {cell for cell in cells if any(grid.at_chance(label, [cell]) for label in grid.labels)}
    names = ["mean", *(cell[0] + AT_CHANCE * (cell in marked) for cell in cells)]
    columns = min(2 if narrow else 4, len(comparisons))
    rows = -(-len(comparisons) // columns)
    width = NARROW if narrow else min(WIDE, max(HALF, 0.8 + 2.8 * columns))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, 0.95 + rows * (0.65 + ROW * len(names))), layout="constrained")
        plots = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, comparison in zip(plots.flat, comparisons, strict=False):
            index = grid.colours[comparison.other]
            for y, cell in enumerate([None, *cells]):
                interval = _interval_of(comparison, cell)
                if interval is not None:
                    _interval_line(axes, scale, interval, y, index, width=2.2 if cell is None else 1.5)
            axes.axvline(0, color=INK, linewidth=1)
            axes.axhline(0.5, color=EDGE, linewidth=0.8)
            axes.grid(axis="x")
            axes.tick_params(axis="y", length=0)
            title = f"{comparison.other} − {comparison.base}"
            axes.set_title(wrapped_title(title, (width - 0.8) / columns), fontsize=10)
        plots.flat[0].set_yticks(range(len(names)), names)
        plots.flat[0].set_ylim(len(names) - 0.4, -0.6)
        hide_from(plots, len(comparisons))
        figure.supxlabel(difference_axis(scale), fontsize=10)
        place_legend(figure, *claim_handles(comparisons))
    return figure


def hide_from(plots: npt.NDArray[Any], count: int) -> None:
    """Hide the panels from number `count` on; those above them get the numbers of their axes."""
    for number, axes in enumerate(plots.flat):
        if number >= count:
            axes.set_visible(False)
        elif number + plots.shape[1] >= count:
            axes.tick_params(labelbottom=True)


def difference_axis(scale: Scale) -> str:
    """Name of an axis of differences, with the unit."""
    return f"difference ({scale.step})" if scale.step else "difference"


def _interval_of(comparison: Comparison, cell: Cell | None) -> Interval | None:
    """The interval of a cell, for None of the mean; None where the comparison has no such cell."""
    if cell is None:
        return comparison.main[1]
    return comparison.intervals[comparison.cells.index(cell)] if cell in comparison.cells else None


def _interval_line(axes: Axes, scale: Scale, interval: Interval, y: float, index: int, width: float = 1.5,
                   points: float = MARKER) -> None:
    colour = colour_of(index)
    axes.plot([scale.factor * interval.low, scale.factor * interval.high], [y, y], color=colour, linewidth=width)
    axes.plot([scale.factor * interval.estimate], [y], marker_of(index), markersize=points, color=colour,
              markerfacecolor=colour if interval.claimed else "white", markeredgecolor=colour)


def certified_accuracy(grid: Grid, panels: Sequence[tuple[str, Sequence[Curve]]], site: str,
                       narrow: bool = False) -> Figure:
    """Certified accuracy by radius, one panel per (title, curves); bands: standard deviation over seeds.

    The open marker at radius 0 is the accuracy without smoothing.
    """
    rows, columns = (len(panels), 1) if narrow else (1, len(panels))
    size = (NARROW, 0.6 + 2.9 * rows) if narrow else (max(5.2, 4.1 * columns), 3.7)
    with matplotlib.rc_context(STYLE):
        # Space between: the last number of one axis stands beside the first of the next.
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(wspace=0.06))
        plots = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
        for axes, (title, curves) in zip(plots, panels, strict=True):
            for curve in curves:
                index = grid.colours[curve.label]
                colour, marker = colour_of(index), marker_of(index)
                percent, spread = 100 * curve.mean, 100 * curve.deviation
                axes.plot(curve.radii, percent, color=colour, linewidth=1.6, marker=marker, markevery=(20, 40),
                          markersize=5, label=legend_text(curve.label))
                if spread.any():
                    axes.fill_between(curve.radii, np.maximum(percent - spread, 0), np.minimum(percent + spread, 100),
                                      color=colour, alpha=0.18, linewidth=0)
                axes.plot([0], [100 * curve.plain], marker, color=colour, markerfacecolor="white", markersize=6,
                          clip_on=False, zorder=5)
            chance_line(axes, next((curve.chance for curve in curves if curve.chance is not None), None))
            axes.set_title(title)
            axes.set_xlim(left=0)
            axes.set_ylim(0, 100)
            axes.grid(axis="y")
        figure.supxlabel(f"L2 radius at {site}", fontsize=10)
        figure.supylabel("certified accuracy (%)", fontsize=10)
        place_legend(figure)
    return figure
