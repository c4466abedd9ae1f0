"""Style of all figures (matplotlib, no display needed), and their export to SVG and PNG."""

from __future__ import annotations

import io
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, EDGE, FAINT, CHANCE = "#1c2330", "#9aa3af", "#d9dde3", "#7b8594"
DASHES = (0, (4, 3))
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: searchable, and readable by screen readers
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.edgecolor": EDGE, "axes.spines.top": False, "axes.spines.right": False, "figure.facecolor": "white",
    "axes.axisbelow": True, "grid.color": FAINT, "axes.titlesize": 11, "axes.titleweight": "bold",
    "text.parse_math": False,  # a dollar sign in a label is a dollar sign
}
LEGEND: dict[str, Any] = {"frameon": False, "handlelength": 1, "handletextpad": 0.5, "columnspacing": 1.4}


def legend_text(label: str) -> str:
    """`label` for a legend; matplotlib hides labels with a leading underscore."""
    return f"\u200b{label}" if label.startswith("_") else label


def chance_line(axes: Axes, chance: float | None) -> None:
    """Dashed horizontal line at the accuracy of the majority class (a fraction, drawn in percent); None draws none."""
    if chance is not None:
        axes.axhline(100 * chance, color=CHANCE, linewidth=1.2, linestyle=DASHES, zorder=1)


def to_svg(figure: Figure, name: str) -> str:
    """Stand-alone SVG document of a figure; deterministic, ids are derived from `name`."""
    buffer = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def to_png(figure: Figure) -> bytes:
    """PNG of a figure at its own resolution."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
