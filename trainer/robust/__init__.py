"""Robust methods: one file each, and the one dict that names them. See `protocol` for what a method is."""

from __future__ import annotations

from collections.abc import Callable

from trainer.robust import pgd, plain, random_noise
from trainer.robust.protocol import Context, Figures

METHODS: dict[str, Callable[[Context], Figures]] = {
    "plain": plain.step,
    "pgd": pgd.step,
    "random_noise": random_noise.step,
}

__all__ = ["METHODS", "Context", "Figures"]
