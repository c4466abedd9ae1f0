"""The ball's radius: what a relative epsilon is measured against, and how the radius grows over a run.

Inputs: the recipe's robust section, the mean norm at the site. Output: absolute radii there.
"""

from __future__ import annotations

from trainer.config.schema import RobustSection


def radius(settings: RobustSection, progress: float, site_norm: float | None) -> float:
    """The ball's absolute radius when `progress` (0..1) of the run is done: zero, then a linear ramp, then full."""
    if progress < settings.ramp_start:
        return 0.0
    full = settings.epsilon * (site_norm or 1.0 if settings.relative else 1.0)
    if progress >= settings.ramp_end:
        return full
    return full * (progress - settings.ramp_start) / (settings.ramp_end - settings.ramp_start)


def counts_for_selection(settings: RobustSection, progress: float) -> bool:
    """Whether a checkpoint at `progress` may be selected: before the radius is full it is not yet the method's.

    English dev is often best before robust training begins; without this rule all methods would be the plain one.
    """
    return settings.method == "plain" or progress >= settings.ramp_end
