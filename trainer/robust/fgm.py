"""The fast gradient method (Miyato, Dai, Goodfellow, ICLR 2017, arXiv 1605.07725), at a representation site.

    min_theta E[ loss(x; theta) + loss(x + epsilon * g / ||g||_2; theta) ],   g = grad_x loss(x; theta)

One step from the clean point to the boundary of the ball, and both losses in the update.
"""

from __future__ import annotations

from typing import Literal

from trainer.robust.ascent import ascend, zero_perturbation
from trainer.robust.plain import step as plain_step
from trainer.robust.protocol import Context, Metrics
from trainer.robust.settings import BallSettings
from trainer.robust.terms import perturbation_metrics


class FGM(BallSettings):
    """Settings of the fast gradient method: the ball only."""

    method: Literal["fgm"] = "fgm"
    """Name of the method."""


def step(ctx: Context[FGM]) -> Metrics:
    """Back-propagate the clean loss plus the loss one step away."""
    if ctx.epsilon == 0.0:
        return plain_step(ctx)
    delta, _ = ascend(ctx, zero_perturbation(ctx), lambda d: ctx.loss(d, ascent=True)[0], steps=1, step_length=1.0)
    clean, _ = ctx.loss()
    adversarial, _ = ctx.loss(delta)
    total = clean + adversarial
    ctx.backward(total)
    return {"loss": (total.detach(), ctx.weight), "clean_loss": (clean.detach(), ctx.weight),
            "adversarial_loss": (adversarial.detach(), ctx.weight), **perturbation_metrics(ctx, delta)}
