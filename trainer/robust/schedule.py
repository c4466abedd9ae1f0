"""Radius over a run, and the part of a run whose checkpoints may be selected.

Inputs: a method's settings, the mean norm at the site. Output: absolute radii there.
"""

from __future__ import annotations

from trainer.robust.settings import BallSettings, MethodSettings, SiteSettings


def radius(settings: MethodSettings, progress: float, site_norm: float | None) -> float:
    """Absolute radius at `progress` (0..1) of the run: zero, then a linear ramp, then full.

    Without a ball the full radius counts as 1, and says only whether the method acts yet; it is 0 for plain training.
    """
    if not isinstance(settings, SiteSettings) or progress < settings.ramp_start:
        return 0.0
    full = 1.0
    if isinstance(settings, BallSettings):
        full = settings.epsilon * (site_norm or 1.0 if settings.relative else 1.0)
    if progress >= settings.ramp_end:
        return full
    return full * (progress - settings.ramp_start) / (settings.ramp_end - settings.ramp_start)


def selection_starts(settings: MethodSettings) -> float:
    """Share of the run from which checkpoints may be selected: those before the radius is full are not the method's.

    English dev is often best before robust training begins: without this rule, all methods would select plain models.
    """
    return settings.ramp_end if isinstance(settings, SiteSettings) else 0.0


def counts_for_selection(settings: MethodSettings, progress: float) -> bool:
    """True if a checkpoint at `progress` (0..1) of the run may be selected."""
    return progress >= selection_starts(settings)
