"""Randomized smoothing by random perturbation, "RS-RP" of Huang et al. 2021 (arXiv 2104.08645).

    min_theta E_x E_{delta ~ U(ball)} [ loss(x + delta; theta) ]  +  clean_weight * E_x loss(x; theta)

The inner expectation is estimated by M independent draws; "gaussian" noise is drawn with standard deviation
epsilon / sqrt(d) and projected onto the ball, so that epsilon stays a true radius.
"""

from __future__ import annotations

from typing import Literal

from trainer.robust.plain import step as plain_step
from trainer.robust.protocol import Context, Metrics
from trainer.robust.settings import NoiseSettings
from trainer.robust.terms import mean, perturbation_metrics
from trainer.settings import Weight


class RandomNoise(NoiseSettings):
    """Settings of RS-RP."""

    method: Literal["random_noise"] = "random_noise"
    """Name of the method."""
    clean_weight: Weight = 0.0
    """Weight of the loss on the clean input, added to that on the perturbed one."""


def step(ctx: Context[RandomNoise]) -> Metrics:
    """Back-propagate the mean loss over M noisy copies of the micro-batch."""
    if ctx.epsilon == 0.0:
        return plain_step(ctx)
    s = ctx.settings
    deltas = [ctx.noise(s.noise, draw) for draw in range(s.draws)]
    noisy = mean([ctx.loss(delta)[0] for delta in deltas])
    total = noisy
    metrics = {"noisy_loss": (noisy.detach(), ctx.weight)}
    if s.clean_weight:
        clean, _ = ctx.loss()
        total = noisy + s.clean_weight * clean
        metrics["clean_loss"] = (clean.detach(), ctx.weight)
    ctx.backward(total)
    return {"loss": (total.detach(), ctx.weight), **metrics, **perturbation_metrics(ctx, deltas[0])}
