"""Figures of the report's grids (matplotlib): values by language, differences, certified accuracy, heat maps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from trainer.plots.palette import DIVERGING, SEQUENTIAL, colour_of, marker_of
from trainer.plots.style import CHANCE, DASHES, EDGE, FAINT, INK, LEGEND, STYLE, chance_line, legend_text
from trainer.report.data.certified import Curve
from trainer.report.data.compare import Comparison
from trainer.report.data.grid import Cell, Grid
from trainer.results.numbers import Scale, scale_of
from trainer.statistics.summary import summarise

LEGEND_CHARACTERS = 84  # in a line of a legend, in figures of the usual width
NUMBERS_UP_TO = 12  # languages; beyond, numbers in a heat map's cells are too small to read


def metric_by_language(grid: Grid) -> Figure:
    """One marker per label and language, error bars the standard deviation over seeds."""
    scale, cells = scale_of(grid.metric), grid.scored
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(6.4, 0.62 * len(cells) + 1.6), 3.7), layout="constrained")
        axes = figure.add_subplot()
        width = min(0.64, 0.16 * len(grid.labels))
        for order, label in enumerate(grid.labels):
            position = grid.positions[label]
            shift = 0.0 if len(grid.labels) == 1 else width * (order / (len(grid.labels) - 1) - 0.5)
            by_cell = [grid.values(label, cell) for cell in cells]
            points = [(i + shift, summarise(values)) for i, values in enumerate(by_cell) if values]
            if not points:
                continue
            axes.errorbar(
                [x for x, _ in points], [scale.factor * s.mean for _, s in points],
                yerr=[scale.factor * (s.deviation or 0.0) for _, s in points],
                fmt=marker_of(position), color=colour_of(position), markersize=6, elinewidth=1.4, capsize=2.5,
                label=legend_text(label), markeredgecolor="white", markeredgewidth=0.6,
            )
        axes.set_xticks(range(len(cells)), [cell[0] for cell in cells])
        axes.set_xlim(-0.6, len(cells) - 0.4)
        axes.set_ylabel(scale.column)
        axes.grid(axis="y")
        axes.tick_params(axis="x", length=0)
        levels = {i: level for i, cell in enumerate(cells) if (level := grid.chance(cell)) is not None}
        if levels:
            axes.hlines([scale.factor * level for level in levels.values()], [i - 0.5 for i in levels],
                        [i + 0.5 for i in levels], color=CHANCE, linewidth=1.2, linestyle=DASHES, zorder=1,
                        label="chance")
        for boundary in range(1, len(cells)):
            axes.axvline(boundary - 0.5, color=FAINT, linewidth=0.5, zorder=0)
        figure.legend(loc="outside upper left", ncols=_legend_columns(grid.labels), **LEGEND)
    return figure


def _legend_columns(names: Sequence[str]) -> int:
    """Columns of a legend that fit into a figure's width, at most 5."""
    return max(1, min(5, LEGEND_CHARACTERS // (max(map(len, names), default=1) + 6)))


def chance_caption(grid: Grid) -> str:
    """Legend of the dashed line; empty where there is none."""
    known = any(grid.chance(cell) is not None for cell in grid.scored)
    return " Dashed: chance, always naming the most frequent class." if known else ""


def differences(grid: Grid, comparisons: Sequence[Comparison]) -> Figure:
    """Difference of each label to the base per language, with intervals; filled markers are claims."""
    scale = scale_of(grid.metric)
    cells = [cell for cell in grid.scored if any(cell in c.cells for c in comparisons)]
    marked = {cell for cell in cells if any(grid.at_chance(label, [cell]) for label in grid.labels)}
    rows = [("mean", None), *((cell[0] + "†" * (cell in marked), cell) for cell in cells)]
    with matplotlib.rc_context(STYLE):
        height = 1.3 + 0.2 * len(rows) * (0.6 + 0.6 * len(comparisons))
        figure = Figure(figsize=(6.8, max(2.2, height)), layout="constrained")
        axes = figure.add_subplot()
        for order, comparison in enumerate(comparisons):
            position = grid.positions[comparison.other]
            shift = 0.0 if len(comparisons) == 1 else 0.5 * (order / (len(comparisons) - 1) - 0.5)
            for y, (_, cell) in enumerate(rows):
                _interval_line(axes, scale, comparison, cell, y + shift, position)
            axes.plot([], [], marker_of(position), color=colour_of(position),
                      label=legend_text(f"{comparison.other} − {comparison.base}"))
        axes.axvline(0, color=INK, linewidth=1)
        axes.axhline(0.5, color=EDGE, linewidth=0.8)
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(_difference_axis(scale))
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        names = [f"{c.other} − {c.base}" for c in comparisons]
        figure.legend(loc="outside upper left", ncols=min(3, _legend_columns(names)), **LEGEND)
    return figure


def _difference_axis(scale: Scale) -> str:
    return f"difference ({scale.step})" if scale.step else "difference"


def _interval_line(
    axes: Axes, scale: Scale, comparison: Comparison, cell: Cell | None, y: float, position: int
) -> None:
    if cell is None:
        _, interval = comparison.main
    elif cell in comparison.cells:
        interval = comparison.intervals[comparison.cells.index(cell)]
    else:
        return
    colour = colour_of(position)
    axes.plot([scale.factor * interval.low, scale.factor * interval.high], [y, y], color=colour, linewidth=1.6)
    axes.plot([scale.factor * interval.estimate], [y], marker_of(position), markersize=6, color=colour,
              markerfacecolor=colour if interval.claimed else "white", markeredgecolor=colour)


def certified_accuracy(grid: Grid, panels: Sequence[tuple[str, Sequence[Curve]]], site: str) -> Figure:
    """Certified accuracy by radius, one panel per (title, curves); bands: standard deviation over seeds.

    The open marker at radius 0 is the accuracy without smoothing.
    """
    with matplotlib.rc_context(STYLE):
        # Space between: the last number of one axis stands beside the first of the next.
        figure = Figure(figsize=(max(5.2, 4.1 * len(panels)), 3.7), layout=ConstrainedLayoutEngine(wspace=0.06))
        plots = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (title, curves) in zip(plots, panels, strict=True):
            for curve in curves:
                position = grid.positions[curve.label]
                colour, marker = colour_of(position), marker_of(position)
                percent, spread = 100 * curve.mean, 100 * curve.deviation
                axes.plot(curve.radii, percent, color=colour, linewidth=1.6, marker=marker, markevery=(20, 40),
                          markersize=5, label=legend_text(curve.label))
                if spread.any():
                    axes.fill_between(curve.radii, np.maximum(percent - spread, 0), np.minimum(percent + spread, 100),
                                      color=colour, alpha=0.18, linewidth=0)
                chance_line(axes, curve.chance)
                axes.plot([0], [100 * curve.plain], marker, color=colour, markerfacecolor="white", markersize=6,
                          clip_on=False, zorder=5)
            axes.set_title(title)
            axes.set_xlim(left=0)
            axes.set_ylim(0, 100)
            axes.set_xlabel(f"L2 radius at {site}")
            axes.grid(axis="y")
        plots[0].set_ylabel("certified accuracy (%)")
        handles, names = plots[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=min(5, len(names)), **LEGEND)
    return figure


def value_range(grid: Grid) -> tuple[float, float]:
    """Smallest and largest mean of a grid, the common colour scale of its heat maps."""
    by_cell = [grid.values(label, cell) for label in grid.labels for cell in grid.scored]
    means = [summarise(values).mean for values in by_cell if values]
    return (min(means), max(means)) if means else (0.0, 1.0)


def heat_map(grid: Grid, label: str, limits: tuple[float, float]) -> Figure:
    """Heat map of means over seeds; rows: premise language, columns: hypothesis language."""
    scale = scale_of(grid.metric)
    means = {cell: summarise(v).mean for cell in grid.scored if (v := grid.values(label, cell))}
    low, high = limits
    norm = colors.Normalize(low, high if high > low else low + 0.01)
    marked = {cell for cell in means if grid.at_chance(label, [cell])}
    return _map(grid, means, norm, SEQUENTIAL, label, scale.column, scale.value, marked)


def difference_reach(grid: Grid, base: str) -> float:
    """Largest difference to `base` in any cell, the common colour scale of difference maps."""
    found = [abs(gap) for label in grid.labels for gap in _differences(grid, base, label).values()]
    return max(found, default=0.0) or 0.01


def difference_map(grid: Grid, base: str, other: str, reach: float) -> Figure:
    """Heat map of `other` minus `base` over common seeds; the colour scale is symmetric about zero."""
    scale = scale_of(grid.metric)
    gaps = _differences(grid, base, other)
    marked = {cell for cell in gaps if grid.at_chance(base, [cell]) or grid.at_chance(other, [cell])}
    return _map(grid, gaps, colors.Normalize(-reach, reach), DIVERGING, f"{other} − {base}",
                _difference_axis(scale), scale.signed, marked)


def _differences(grid: Grid, base: str, other: str) -> dict[Cell, float]:
    seeds = [seed for seed in grid.seeds(base) if seed in grid.seeds(other)]
    found: dict[Cell, float] = {}
    for cell in grid.scored:
        pairs = [(grid.value(other, seed, cell), grid.value(base, seed, cell)) for seed in seeds]
        gaps = [top - below for top, below in pairs if top is not None and below is not None]
        if gaps:
            found[cell] = float(np.mean(gaps))
    return found


def _map(grid: Grid, numbers: dict[Cell, float], norm: colors.Normalize, colour_map: str, title: str, unit: str,
         written: Callable[[float], str], marked: Collection[Cell]) -> Figure:
    """`marked`: cells at chance, also marked where there is no room for numbers."""
    factor = scale_of(grid.metric).factor
    languages = grid.languages
    matrix = np.full((len(languages), len(languages)), np.nan)
    for (first, second), value in numbers.items():
        matrix[languages.index(first), languages.index(second)] = value
    with matplotlib.rc_context(STYLE):
        side = max(3.0, (0.48 if len(languages) <= NUMBERS_UP_TO else 0.23) * len(languages) + 1.5)
        figure = Figure(figsize=(side + 0.7, side), layout="constrained")
        axes = figure.add_subplot()
        axes.set_facecolor("#eceff3")  # what has no number
        edges = np.arange(len(languages) + 1) - 0.5
        # Cells as paths, not as an embedded bitmap: sharp in print, and the SVG holds no image to fail.
        mesh = axes.pcolormesh(edges, edges, np.ma.masked_invalid(matrix), norm=norm, edgecolors="white", linewidth=0.8,
                               cmap=matplotlib.colormaps[colour_map].resampled(64))
        axes.set_ylim(len(languages) - 0.5, -0.5)
        axes.set_aspect("equal")
        axes.set_xticks(range(len(languages)), languages, rotation=90 if max(map(len, languages)) > 3 else 0)
        axes.set_yticks(range(len(languages)), languages)
        axes.tick_params(length=0, labelsize=10 if len(languages) <= NUMBERS_UP_TO else 8)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("hypothesis")
        axes.set_ylabel("premise")
        axes.set_title(title)
        places = {(languages.index(first), languages.index(second)) for first, second in marked}
        _write_numbers(axes, matrix, mesh.cmap, norm, written if len(languages) <= NUMBERS_UP_TO else lambda _: "",
                       places)
        bar = figure.colorbar(mesh, ax=axes, label=unit, shrink=0.82,
                              format=lambda tick, _: f"{factor * tick:g}".replace("-", "−"))
        bar.outline.set_visible(False)
        if bar.solids is not None:
            bar.solids.set_edgecolor("face")  # else white seams between its steps
    return figure


def _write_numbers(axes: Axes, matrix: npt.NDArray[np.float64], colour_map: colors.Colormap, norm: colors.Normalize,
                   written: Callable[[float], str], marked: Collection[tuple[int, int]]) -> None:
    for (row, column), value in np.ndenumerate(matrix):
        text = "" if np.isnan(value) else written(value) + "†" * ((row, column) in marked)
        if np.isnan(value) and written(0.0):
            axes.text(column, row, "–", ha="center", va="center", fontsize=8, color=INK)
            continue
        if not text:
            continue
        linear = np.asarray(colors.to_rgb(colour_map(norm(value)))) ** 2.2
        luminance = float(linear @ (0.2126, 0.7152, 0.0722))  # where black and white contrast alike: 0.18 (WCAG 2)
        axes.text(column, row, text, ha="center", va="center", fontsize=8,
                  color="white" if luminance < 0.19 else "black")
