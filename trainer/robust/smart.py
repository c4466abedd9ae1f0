"""Smoothness-inducing adversarial regularisation of SMART (Jiang et al., ACL 2020, arXiv 1911.03437, equations 1 to 4).

    min_theta E[ loss(x; theta) + lambda * max_{||delta|| <= epsilon} D(f(x + delta), f(x))
                 + mu * D(f(x; theta), f(x; theta_bar)) ]
    D(p, q) = KL(p || q) + KL(q || p),   theta_bar <- beta * theta_bar + (1 - beta) * theta  after every update

The ascent is on D, with f(x) held fixed, from a random point near zero (`start_radius`), since D has no gradient at
delta = 0. Here epsilon is a true radius; in the authors' code it only guards a division. The last term, which keeps the
model near its own running average (momentum Bregman proximal point), is there where mu = `bregman_weight` is not zero.
"""

from __future__ import annotations

from torch import Tensor

from trainer.robust.ascent import ascend, starting_point
from trainer.robust.plain import step as plain_step
from trainer.robust.protocol import Context, Figures
from trainer.robust.terms import perturbation_figures, symmetric_divergence


def step(ctx: Context) -> Figures:
    """K ascent steps on the divergence from the clean prediction, then the clean loss plus that divergence."""
    if ctx.epsilon == 0.0:
        return plain_step(ctx)
    ctx.site()  # before the first loss, so that all passes share one pass below the site, and its dropout masks
    clean, clean_logits = ctx.loss()
    fixed = clean_logits.detach()

    def objective(delta_BLH: Tensor) -> Tensor:
        return symmetric_divergence(ctx, fixed, ctx.loss(delta_BLH, ascent=True)[1])

    delta, _ = ascend(ctx, starting_point(ctx, "smart"), objective, ctx.settings.ascent_steps)
    _, logits = ctx.loss(delta)
    smoothness = symmetric_divergence(ctx, clean_logits, logits)
    total = clean + ctx.settings.smoothness_weight * smoothness
    figures = {"clean_loss": (clean.detach(), ctx.weight), "smoothness": (smoothness.detach(), ctx.weight)}
    if ctx.settings.bregman_weight:
        drift = symmetric_divergence(ctx, ctx.average_logits(), clean_logits)
        total = total + ctx.settings.bregman_weight * drift
        figures["drift"] = (drift.detach(), ctx.weight)
    ctx.backward(total)
    return {"loss": (total.detach(), ctx.weight), **figures, **perturbation_figures(ctx, delta)}
