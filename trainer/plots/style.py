"""Style of all figures (matplotlib, no display needed), and their export to SVG and PNG."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, EDGE, FAINT, CHANCE = "#1c2330", "#9aa3af", "#d9dde3", "#7b8594"
DASHES = (0, (4, 3))
CHANCE_NAME = "chance"
NARROW, HALF, WIDE = 3.7, 6.1, 12.4
"""Widths in inches of a phone's screen, of half and the whole of the report's page, at 96 pixels an inch."""
CHARACTERS_PER_INCH = 11.5  # of legends and titles, with some reserve
MOST_COLUMNS = 6  # of a legend
PNG_DPI = 180  # TensorBoard shows images 300 to 700 pixels wide
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: searchable, and readable by screen readers
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.edgecolor": EDGE, "axes.spines.top": False, "axes.spines.right": False, "figure.facecolor": "white",
    "axes.axisbelow": True, "grid.color": FAINT, "axes.titlesize": 11, "axes.titleweight": "bold",
    "text.parse_math": False,  # a dollar sign in a label is a dollar sign
}
LEGEND: dict[str, Any] = {"frameon": False, "handlelength": 1, "handletextpad": 0.5, "columnspacing": 1.4}


def wrapped(text: str, width: float) -> str:
    """`text` on as many lines as `width` inches ask for; words longer than a line are broken, at hyphens first."""
    room = max(6, int(CHARACTERS_PER_INCH * width))
    too_long = any(len(word) > room for word in text.split())
    return "\n".join(textwrap.wrap(text, room, break_on_hyphens=too_long)) or text


def wrapped_title(text: str, width: float) -> str:
    """As `wrapped`, for the larger bold letters of titles."""
    return wrapped(text, 0.76 * width)


def place_legend(figure: Figure, handles: Sequence[Artist] | None = None, names: Sequence[str] | None = None) -> None:
    """Legend above the plots, on as many lines as the figure's width asks for; nothing without entries.

    handles, names: those of the figure's plots by default, each name once. Names with a leading underscore, which
    matplotlib hides, are shown.
    """
    if handles is None or names is None:
        entries: dict[str, Artist] = {}
        for axes in figure.axes:
            entries |= {name: handle for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
                        if name not in entries}
        names = sorted(entries, key=lambda name: name == CHANCE_NAME)  # the line behind the markers stands last
        handles = [entries[name] for name in names]
    if not names:
        return
    characters = CHARACTERS_PER_INCH * float(figure.get_size_inches()[0])
    shown = [wrapped(name, (characters - 6) / CHARACTERS_PER_INCH) for name in names]
    longest = max(len(line) for name in shown for line in name.split("\n"))
    columns = max(1, min(MOST_COLUMNS, int(characters / (longest + 5))))
    figure.legend(handles, shown, loc="outside upper left", ncols=columns, **LEGEND)


def legend_text(label: str) -> str:
    """`label` for a legend; matplotlib hides labels with a leading underscore."""
    return f"\u200b{label}" if label.startswith("_") else label


def chance_line(axes: Axes, chance: float | None) -> None:
    """Dashed horizontal line at the accuracy of the majority class (a fraction, drawn in percent); None draws none."""
    if chance is not None:
        axes.axhline(100 * chance, color=CHANCE, linewidth=1.2, linestyle=DASHES, zorder=1, label=CHANCE_NAME)


def to_svg(figure: Figure, name: str) -> str:
    """Stand-alone SVG document of a figure; deterministic, ids are derived from `name`."""
    buffer = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def to_png(figure: Figure) -> bytes:
    """PNG of a figure, PNG_DPI pixels an inch."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=PNG_DPI)
    return buffer.getvalue()
