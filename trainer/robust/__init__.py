"""Robust methods: one file each, and the one dict that names them. See `protocol` for what a method is."""

from __future__ import annotations

from collections.abc import Callable

from trainer.robust import fgm, freelb, mixup, pgd, plain, r3f, random_noise, smart, trades
from trainer.robust.protocol import Context, Figures

METHODS: dict[str, Callable[[Context], Figures]] = {
    "plain": plain.step,
    "pgd": pgd.step,
    "fgm": fgm.step,
    "freelb": freelb.step,
    "smart": smart.step,
    "trades": trades.step,
    "random_noise": random_noise.step,
    "r3f": r3f.step,
    "mixup": mixup.step,
}

__all__ = ["METHODS", "Context", "Figures"]
