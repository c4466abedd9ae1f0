"""Colours and markers of labels: the same for a method in every report, in tables as in figures.

The first eight colours but yellow are those of Okabe and Ito (2008, "Color Universal Design"), which people with the
common kinds of colour blindness tell apart, the rest from Tol's muted scheme; a marker goes with each, so that no
reader depends on colour alone.
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Mapping

COLOURS = ("#555555", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#999933", "#332288")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
SEQUENTIAL = "cividis"  # perceptually even, made for colour-blind readers
DIVERGING = "PuOr"  # purple is more, orange is less: not red against green

# Index of the colour and marker of each method, by the name that recipes and labels give it.
METHODS = {"plain": 0, "random_noise": 1, "pgd": 2, "rs_da": 3, "freelb": 4, "smart": 5, "trades": 6, "r3f": 7,
           "fgm": 8, "mixup": 9}


def colour_of(index: int) -> str:
    """The colour at `index`; repeats after the last."""
    return COLOURS[index % len(COLOURS)]


def marker_of(index: int) -> str:
    """The matplotlib marker at `index`; shifts when colours repeat, so that pairs stay distinct."""
    return MARKERS[(index + index // len(COLOURS)) % len(MARKERS)]


def assign(labels: Mapping[str, str]) -> dict[str, int]:
    """Index of colour and marker of each label, all different; `labels` gives the method of each, the base first.

    A label that is the name of a method ("RS-DA") has that of the method, else the first that holds its name ("synonyms
    (RS-DA)"), else the first of the method; of plain ones the base alone is grey. Others take what a hash of their name
    says, so that they, too, mostly look alike in all reports, or the next that is free.
    """
    words = {label: re.sub(r"[^a-z0-9]+", "_", label.lower()) for label in labels}
    wanted = {label: METHODS.get(name) for label, name in words.items()}
    holding = {label: max((index for method, index in METHODS.items() if index and f"_{method}_" in f"_{name}_"),
                          default=None) for label, name in words.items() if wanted[label] is None}
    base = next(iter(labels), "")
    by_method = {label: METHODS.get(method) for label, method in labels.items()
                 if wanted[label] is None and (METHODS.get(method, 0) or label == base)}
    hashed = {label: zlib.crc32(label.encode()) % len(COLOURS) for label in labels}
    found: dict[str, int] = {}
    for choice in (wanted, holding, by_method, hashed):
        for label, index in choice.items():
            if index is not None and label not in found and (choice is hashed or index not in found.values()):
                found[label] = _free(index, set(found.values()))
    return {label: found[label] for label in labels}


def _free(index: int, taken: set[int]) -> int:
    """`index`, or the next that is not taken; those whose colour is new first."""
    around: list[int] = [(index + step) % len(COLOURS) for step in range(len(COLOURS))]
    return next(itertools.filterfalse(taken.__contains__, itertools.chain(around, itertools.count(len(COLOURS)))))
