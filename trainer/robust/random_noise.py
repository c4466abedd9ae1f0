"""Randomized smoothing by random perturbation, "RS-RP" of Huang et al. 2021 (arXiv 2104.08645).

    min_theta E_x E_{delta ~ U(ball)} [ loss(x + delta; theta) ]  +  clean_weight * E_x loss(x; theta)

The inner expectation is estimated by M independent draws; "gaussian" noise is drawn with standard deviation
epsilon / sqrt(d) and projected onto the ball, so that epsilon stays a true radius.
"""

from __future__ import annotations

import torch

from trainer.robust.plain import step as plain_step
from trainer.robust.protocol import Context, Figures
from trainer.robust.terms import perturbation_figures


def step(ctx: Context) -> Figures:
    """The mean loss over M noisy copies of the micro-batch."""
    if ctx.epsilon == 0.0:
        return plain_step(ctx)
    s = ctx.settings
    deltas = [ctx.noise(s.noise, draw) for draw in range(s.draws)]
    noisy = torch.stack([ctx.loss(delta)[0] for delta in deltas]).mean()
    total = noisy
    figures = {"noisy_loss": (noisy.detach(), ctx.weight)}
    if s.clean_weight:
        clean, _ = ctx.loss()
        total = noisy + s.clean_weight * clean
        figures["clean_loss"] = (clean.detach(), ctx.weight)
    ctx.backward(total)
    return {"loss": (total.detach(), ctx.weight), **figures, **perturbation_figures(ctx, deltas[0])}
