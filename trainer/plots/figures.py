"""Figures of the report and of `diagnose`: accuracy by distance to English, accuracy by noise norm.

Inputs: plain numbers, so that the report draws many runs and `diagnose` one. Output: matplotlib figures.
Accuracies are fractions, drawn in percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.plots.palette import colour_of, marker_of
from trainer.plots.style import (
    DASHES,
    EDGE,
    FAINT,
    NARROW,
    STYLE,
    chance_line,
    legend_text,
    place_legend,
    wrapped,
    wrapped_title,
)

DISTANCE_AXIS = "token distance to English (mean token norms)"
NOISE_AXIS = "noise per token (mean token norms)"


@dataclass(frozen=True)
class Spot:
    """Distance and accuracy of one language, and their standard deviations over runs (0 for one run)."""

    name: str
    distance: float
    accuracy: float
    distance_deviation: float = 0.0
    accuracy_deviation: float = 0.0


@dataclass(frozen=True)
class Curve:
    """Accuracy along an axis; `position` is the index of the label's colour in the palette."""

    name: str
    position: int
    x: Sequence[float]
    accuracy: Sequence[float]
    deviation: Sequence[float]


@dataclass(frozen=True)
class Limits:
    """Axis limits shared by all scatter plots of a report: largest distance, lowest accuracy."""

    distance: float
    accuracy: float


def limits(spots: Sequence[Spot], chance: float | None = None) -> Limits:
    """Limits that include all `spots` with their error bars, and `chance`."""
    right = max(spot.distance + spot.distance_deviation for spot in spots)
    low = min(spot.accuracy - spot.accuracy_deviation for spot in spots)
    return Limits(1.12 * right or 1.0, max(0.0, min(low, low if chance is None else chance) - 0.05))


def distance_scatter(
    title: str, position: int, spots: Sequence[Spot], radius: float | None, axes: Limits, noise: Curve | None,
    chance: float | None = None, narrow: bool = False,
) -> Figure:
    """Scatter plot of accuracy against distance, one marker per language; dashed lines: trained radius and chance.

    noise: accuracy of English by the norm of Gaussian noise, in the unit of the distances, as a grey line.
    """
    colour = colour_of(position)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(NARROW if narrow else 4.6, 3.6), layout="constrained")
        drawn = figure.add_subplot()
        if noise is not None:
            drawn.plot(noise.x, [100 * value for value in noise.accuracy], color=EDGE, linewidth=1.3, zorder=1,
                       label="English under noise")
        drawn.errorbar(
            [spot.distance for spot in spots], [100 * spot.accuracy for spot in spots],
            xerr=[spot.distance_deviation for spot in spots],
            yerr=[100 * spot.accuracy_deviation for spot in spots],
            fmt=marker_of(position), color=colour, markersize=6, elinewidth=1.0, markeredgecolor="white",
            markeredgewidth=0.6)
        for spot in spots:
            drawn.annotate(spot.name, (spot.distance, 100 * spot.accuracy), xytext=(6, 5),
                           textcoords="offset points", fontsize=8)
        if radius is not None and radius <= axes.distance:
            drawn.axvline(radius, color=colour, linewidth=1.2, linestyle=DASHES)
            drawn.annotate("radius", (radius, 100 * axes.accuracy), xytext=(3, 4), textcoords="offset points",
                           fontsize=8, color=colour, rotation=90)
        chance_line(drawn, chance)
        place_legend(figure)
        drawn.set_xlim(-0.03 * axes.distance, axes.distance)
        drawn.set_ylim(100 * axes.accuracy, 104)
        _label(drawn, title, DISTANCE_AXIS)
    return figure


def curves(panels: Mapping[str, Sequence[Curve]], x_label: str, chance: float | None = None,
           narrow: bool = False) -> Figure:
    """Accuracy along an axis, one panel per title, side by side or (narrow) in a column; bars: standard deviation.

    chance: accuracy of the majority class, a dashed line; None where it is unknown.
    """
    with matplotlib.rc_context(STYLE):
        rows, columns = (len(panels), 1) if narrow else (1, len(panels))
        size = (NARROW, 0.6 + 2.9 * rows) if narrow else (1.2 + 3.9 * columns, 3.7)
        figure = Figure(figsize=size, layout="constrained")
        every = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
        for axes, (title, lines) in zip(every, panels.items(), strict=True):
            for line in lines:
                spread = [100 * value for value in line.deviation]
                axes.errorbar(
                    line.x, [100 * value for value in line.accuracy], yerr=spread if any(spread) else None,
                    fmt=f"{marker_of(line.position)}-", color=colour_of(line.position), markersize=5, linewidth=1.3,
                    elinewidth=1.0, capsize=2, label=legend_text(line.name), markeredgecolor="white",
                    markeredgewidth=0.5)
            chance_line(axes, chance)
            _label(axes, title, x_label)
        place_legend(figure)
    return figure


def _label(axes: Axes, title: str, x_label: str) -> None:
    axes.set_title(wrapped_title(title, 3.2))
    if axes.get_subplotspec().is_last_row():  # type: ignore[union-attr]
        axes.set_xlabel(wrapped(x_label, axes.figure.get_size_inches()[0] - 0.8))  # type: ignore[union-attr]
    if axes.get_subplotspec().is_first_col():  # type: ignore[union-attr]
        axes.set_ylabel("accuracy (%)")
    axes.grid(color=FAINT, linewidth=0.6)
