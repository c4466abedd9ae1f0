"""Figures of a study's report (matplotlib): curves along a factor, effects against a distance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from trainer.plots.palette import assign, colour_of, marker_of
from trainer.plots.style import (
    CHANCE,
    CHANCE_NAME,
    DASHES,
    EDGE,
    FAINT,
    INK,
    NARROW,
    STYLE,
    legend_text,
    place_legend,
    wrapped,
    wrapped_title,
)
from trainer.report.data.grid import Grid
from trainer.report.sections.figures import hide_from
from trainer.results.numbers import scale_of
from trainer.statistics.summary import Summary
from trainer.studies.report.distance import Effect

WIDE = 16  # ratio of the largest to the smallest x above which the axis is logarithmic


def curve(metric: str, lines: Mapping[str, Sequence[tuple[float, Summary]]], x_label: str,
          chance: float | None = None, narrow: bool = False) -> Figure:
    """Mean along an axis, a line per name; bands: standard deviation over seeds; dashed: chance, a mean of levels."""
    scale = scale_of(metric)
    colours = assign(dict.fromkeys(lines, ""))
    every = sorted({x for points in lines.values() for x, _ in points})
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(NARROW if narrow else 7.0, 3.9), layout="constrained")
        axes = figure.add_subplot()
        for name, points in lines.items():
            x = np.array([at for at, _ in points])
            mean = scale.factor * np.array([summary.mean for _, summary in points])
            spread = scale.factor * np.array([summary.deviation or 0.0 for _, summary in points])
            colour = colour_of(colours[name])
            axes.plot(x, mean, color=colour, marker=marker_of(colours[name]), linewidth=1.6, markersize=6,
                      markeredgecolor="white", markeredgewidth=0.6, label=legend_text(name))
            axes.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.16, linewidth=0)
        positive = [x for x in every if x > 0]
        if every[0] >= 0 and positive and positive[-1] / positive[0] >= WIDE:
            axes.set_xscale("symlog", linthresh=positive[0], base=2)
        axes.xaxis.set_major_locator(FixedLocator(every))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(every, [f"{x:g}" for x in every])
        axes.set_xlabel(x_label)
        axes.set_ylabel(scale.column)
        axes.grid(color=FAINT, linewidth=0.6)
        if chance is not None:
            axes.axhline(scale.factor * chance, color=CHANCE, linewidth=1.2, linestyle=DASHES, zorder=1,
                         label=CHANCE_NAME)
        place_legend(figure)
    return figure


def effects(grid: Grid, found: Sequence[Effect], narrow: bool = False) -> Figure:
    """Difference to the base against a distance, one point per language; lines: slopes, grey where not claimed."""
    scale = scale_of(grid.metric)
    columns = min(1 if narrow else 4, len(found))
    rows = -(-len(found) // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(NARROW if narrow else 1.0 + 2.8 * columns, 0.6 + 2.7 * rows), layout="constrained")
        plots = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, effect in zip(plots.flat, found, strict=False):
            c, position = effect.comparison, grid.colours[effect.comparison.other]
            x = np.array([effect.measure.values[cell[0]] for cell in effect.cells])
            intervals = [c.intervals[c.cells.index(cell)] for cell in effect.cells]
            y = scale.factor * np.array([interval.estimate for interval in intervals])
            low = scale.factor * np.array([interval.low for interval in intervals])
            high = scale.factor * np.array([interval.high for interval in intervals])
            axes.axhline(0, color=INK, linewidth=0.9, zorder=1)
            axes.vlines(x, low, high, color=colour_of(position), linewidth=0.9, alpha=0.5)
            axes.plot(x, y, marker_of(position), color=colour_of(position), markersize=6, markeredgecolor="white",
                      markeredgewidth=0.6)
            ends = np.array([x.min(), x.max()])
            axes.plot(ends, y.mean() + scale.factor * effect.slope.estimate * (ends - x.mean()), linewidth=1.6,
                      color=colour_of(position) if effect.slope.claimed else EDGE, zorder=1)
            for cell, at, height in zip(effect.cells, x, y, strict=True):
                axes.annotate(cell[0], (at, height), xytext=(5, 4), textcoords="offset points", fontsize=8)
            axes.set_title(wrapped_title(c.other, 2.8), fontsize=10)
            axes.grid(color=FAINT, linewidth=0.6)
            axes.margins(x=0.12)
        hide_from(plots, len(found))
        figure.supxlabel(wrapped(found[0].measure.axis, 3.4), fontsize=10)
        figure.supylabel(f"difference ({scale.step})" if scale.step else "difference", fontsize=10)
    return figure
