"""Robust methods: one file each, with its settings and its step, and the dict that names them.

See `protocol` for what a step is given and returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trainer.robust import fgm, freelb, mixup, pgd, plain, r3f, random_noise, smart, trades
from trainer.robust.protocol import Context, Metrics
from trainer.robust.settings import MethodSettings


@dataclass(frozen=True)
class Method:
    """A robust method."""

    settings: type[MethodSettings]
    """What `robust:` of a recipe may hold."""
    step: Callable[[Context[Any]], Metrics]
    """Back-propagates what the update minimises on one micro-batch."""


METHODS: dict[str, Method] = {
    "plain": Method(plain.Plain, plain.step),
    "pgd": Method(pgd.PGD, pgd.step),
    "fgm": Method(fgm.FGM, fgm.step),
    "freelb": Method(freelb.FreeLB, freelb.step),
    "smart": Method(smart.SMART, smart.step),
    "trades": Method(trades.TRADES, trades.step),
    "random_noise": Method(random_noise.RandomNoise, random_noise.step),
    "r3f": Method(r3f.R3F, r3f.step),
    "mixup": Method(mixup.Mixup, mixup.step),
}

DEFAULT_METHOD = "plain"

__all__ = ["DEFAULT_METHOD", "METHODS", "Context", "Method", "MethodSettings", "Metrics", "methods_with",
           "settings_for"]


def methods_with(key: str) -> list[str]:
    """The methods that have the setting `key`."""
    return [name for name, method in METHODS.items() if key in method.settings.model_fields]


def settings_for(method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` for `method`: without the settings of other methods; unknown keys stay, for validation to refuse."""
    return {"method": method, **{key: value for key, value in given.items()
                                 if key != "method" and (method in (owners := methods_with(key)) or not owners)}}


