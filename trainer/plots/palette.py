"""Colours and markers of labels, the same in tables and figures.

The colours are those of Okabe and Ito (2008, "Color Universal Design"), which people with the common kinds of colour
blindness tell apart; a marker goes with each, so that no reader depends on colour alone.
"""

from __future__ import annotations

COLOURS = ("#555555", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SEQUENTIAL = "cividis"  # perceptually even, made for colour-blind readers
DIVERGING = "PuOr"  # purple is more, orange is less: not red against green


def colour_of(position: int) -> str:
    """The colour of the label at `position`; repeats after the last."""
    return COLOURS[position % len(COLOURS)]


def marker_of(position: int) -> str:
    """The matplotlib marker of the label at `position`; shifts when colours repeat, so that pairs stay distinct."""
    return MARKERS[(position + position // len(COLOURS)) % len(MARKERS)]
