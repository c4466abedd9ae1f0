"""The ball's radius: what a relative epsilon is measured against, and how the radius grows over a run.

Inputs: the recipe's robust section, an engine, training examples. Output: absolute radii at the perturbation site.
"""

from __future__ import annotations

import numpy as np
import torch

from trainer.config.schema import RobustSection
from trainer.data.loader import Examples
from trainer.engine.engine import Engine
from trainer.robust.terms import ball_norms

SITE_NORM_EXAMPLES = 512  # examples behind the mean norm that a relative epsilon refers to


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


@torch.no_grad()
def measure_site_norm(engine: Engine, examples: Examples, settings: RobustSection, batch_size: int, seed: int) -> float:
    """Mean norm of clean balls at the site, over a sample of the training rows, without dropout.

    A ball is a content token's row (scope "token") or all of an example's (scope "sequence"); its norm is the
    settings' own, so that a relative epsilon means the same share of the signal in every norm and scope. Every rank
    computes the same batches, so that all use the same number to the last bit.
    """
    engine.module.eval()
    rows = np.sort(np.random.default_rng(seed).permutation(len(examples))[:SITE_NORM_EXAMPLES])
    total, count = 0.0, 0
    for start in range(0, len(rows), batch_size):
        batch = examples[0, rows[start : start + batch_size]].to(engine.device)
        norms = ball_norms(engine.module(batch, only_below=True), batch.content_mask, settings.norm, settings.scope)
        total, count = total + float(norms.double().sum()), count + norms.numel()
    engine.module.train()
    return total / max(1, count)
