"""Heat maps by pair of languages (matplotlib): values of a label, and differences to the base."""

from __future__ import annotations

from collections.abc import Callable, Collection

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.plots.palette import DIVERGING, SEQUENTIAL
from trainer.plots.style import DASHES, HALF, INK, NARROW, STYLE, wrapped, wrapped_title
from trainer.report.data.grid import Cell, Grid
from trainer.report.sections.figures import AT_CHANCE, difference_axis
from trainer.results.numbers import scale_of
from trainer.statistics.summary import summarise

MARGIN = 0.62  # inches for the names beside the cells
DIGITS_UP_TO, NUMBERS_UP_TO = 10, 20  # languages: numbers with digits, numbers at all
Written = Callable[[float], str]


def value_range(grid: Grid) -> tuple[float, float]:
    """Smallest and largest mean of a grid, the common colour scale of its heat maps."""
    by_cell = [grid.values(label, cell) for label in grid.labels for cell in grid.scored]
    means = [summarise(values).mean for values in by_cell if values]
    return (min(means), max(means)) if means else (0.0, 1.0)


def pair_means(grid: Grid, label: str) -> dict[Cell, float]:
    """Mean over seeds of a label by pair of languages."""
    return {cell: summarise(v).mean for cell in grid.scored if (v := grid.values(label, cell))}


def heat_map(grid: Grid, label: str, limits: tuple[float, float], narrow: bool = False) -> Figure:
    """Heat map of means over seeds; rows: premise language, columns: hypothesis language."""
    scale, means, (low, high) = scale_of(grid.metric), pair_means(grid, label), limits
    norm = colors.Normalize(low, high if high > low else low + 0.01)
    marked = {cell for cell in means if grid.at_chance(label, [cell])}
    levels = [level for cell in grid.scored if (level := grid.chance(cell)) is not None]
    chance = float(np.mean(levels)) if levels else None
    rounded = _written(grid, scale.value, lambda value: f"{scale.factor * value:.0f}")
    return _map(grid, means, norm, SEQUENTIAL, label, scale.column, rounded, marked, narrow, chance)


def difference_reach(grid: Grid, base: str) -> float:
    """Largest difference to `base` in any cell, the common colour scale of difference maps."""
    found = [abs(gap) for label in grid.labels for gap in pair_differences(grid, base, label).values()]
    return max(found, default=0.0) or 0.01


def difference_map(grid: Grid, base: str, other: str, reach: float, narrow: bool = False) -> Figure:
    """Heat map of `other` minus `base` over common seeds; the colour scale is symmetric about zero."""
    scale, gaps = scale_of(grid.metric), pair_differences(grid, base, other)
    marked = {cell for cell in gaps if grid.at_chance(base, [cell]) or grid.at_chance(other, [cell])}
    rounded = _written(grid, scale.signed, lambda value: scale.signed(value).lstrip("+"))
    return _map(grid, gaps, colors.Normalize(-reach, reach), DIVERGING, f"{other} − {base}",
                difference_axis(scale), rounded, marked, narrow)


def pair_differences(grid: Grid, base: str, other: str) -> dict[Cell, float]:
    """`other` minus `base` by pair of languages, mean over common seeds."""
    seeds = [seed for seed in grid.seeds(base) if seed in grid.seeds(other)]
    found: dict[Cell, float] = {}
    for cell in grid.scored:
        pairs = [(grid.value(other, seed, cell), grid.value(base, seed, cell)) for seed in seeds]
        gaps = [top - below for top, below in pairs if top is not None and below is not None]
        if gaps:
            found[cell] = float(np.mean(gaps))
    return found


def _written(grid: Grid, whole: Written, short: Written) -> Written:
    """Text of a number in a cell: short where there are many, none where they could not be read."""
    count = len(grid.languages)
    return whole if count <= DIGITS_UP_TO else short if count <= NUMBERS_UP_TO else lambda _: ""


def _map(grid: Grid, numbers: dict[Cell, float], norm: colors.Normalize, colour_map: str, title: str, unit: str,
         written: Written, marked: Collection[Cell], narrow: bool, chance: float | None = None) -> Figure:
    """`marked`: cells at chance, also marked where there is no room for numbers."""
    factor, languages = scale_of(grid.metric).factor, grid.languages
    count = len(languages)
    matrix = np.full((count, count), np.nan)
    for (first, second), value in numbers.items():
        matrix[languages.index(first), languages.index(second)] = value
    width = NARROW if narrow else max(NARROW, min(HALF, MARGIN + 0.5 * count), MARGIN + 0.2 * count)
    side = (width - MARGIN) / count  # of a cell, in inches
    with matplotlib.rc_context(STYLE):
        heading = wrapped_title(title, width - MARGIN)
        figure = Figure(figsize=(width, width + 1.05 + 0.18 * heading.count("\n")), layout="constrained")
        axes = figure.add_subplot()
        axes.set_facecolor("#eceff3")  # what has no number
        edges = np.arange(count + 1) - 0.5
        # Cells as paths, not as an embedded bitmap: sharp in print, and the SVG holds no image to fail.
        mesh = axes.pcolormesh(edges, edges, np.ma.masked_invalid(matrix), norm=norm, edgecolors="white", linewidth=0.6,
                               cmap=matplotlib.colormaps[colour_map].resampled(64))
        axes.set_ylim(count - 0.5, -0.5)
        axes.set_aspect("equal")
        small = min(10.0, 72 * side * 0.72)
        upright = max(map(len, languages)) * 0.62 * small > 72 * side
        axes.set_xticks(range(count), languages, rotation=90 if upright else 0)
        axes.set_yticks(range(count), languages)
        axes.tick_params(length=0, labelsize=small)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("hypothesis")
        axes.set_ylabel("premise")
        axes.set_title(heading)
        places = {(languages.index(first), languages.index(second)) for first, second in marked}
        _write_numbers(axes, matrix, mesh.cmap, norm, written, places, side)
        bar = figure.colorbar(mesh, ax=axes, label=unit, location="bottom", shrink=0.8, aspect=32,
                              format=lambda tick, _: f"{factor * tick:g}".replace("-", "−"))
        bar.outline.set_visible(False)
        if chance is not None:
            where = "; dashed: chance, {:.1f}" if norm(chance) >= 0 else "; chance, {:.1f}, lies below the scale"
            bar.set_label(wrapped(unit + where.format(factor * chance), 0.9 * width))
            if norm(chance) >= 0:  # on white, since chance lies at the dark end of the scale
                bar.ax.axvline(chance, color="white", linewidth=3.2)
                bar.ax.axvline(chance, color=INK, linewidth=1.4, linestyle=DASHES)
        if bar.solids is not None:
            bar.solids.set_edgecolor("face")  # else white seams between its steps
    return figure


def _write_numbers(axes: Axes, matrix: npt.NDArray[np.float64], colour_map: colors.Colormap, norm: colors.Normalize,
                   written: Written, marked: Collection[tuple[int, int]], side: float) -> None:
    """Numbers as large as cells of `side` inches allow, in black or white, whichever contrasts more."""
    texts = {place: written(value) + AT_CHANCE * (place in marked) for place, value in np.ndenumerate(matrix)
             if not np.isnan(value)}
    longest = max(map(len, texts.values()), default=1)
    points = min(9.0, 72 * side * 0.92 / (0.62 * max(longest, 2)))
    for (row, column), value in np.ndenumerate(matrix):
        if np.isnan(value):
            if written(0.0):
                axes.text(column, row, "–", ha="center", va="center", fontsize=points, color=INK)
            continue
        if not texts[row, column]:
            continue
        linear = np.asarray(colors.to_rgb(colour_map(norm(value)))) ** 2.2
        luminance = float(linear @ (0.2126, 0.7152, 0.0722))  # where black and white contrast alike: 0.18 (WCAG 2)
        axes.text(column, row, texts[row, column], ha="center", va="center", fontsize=points,
                  color="white" if luminance < 0.19 else "black")
