"""Smoothness-inducing adversarial regularisation of SMART (Jiang et al., ACL 2020, arXiv 1911.03437, equation 1-2).

    min_theta E[ loss(x; theta) + lambda * max_{||delta|| <= epsilon} D(f(x + delta), f(x)) ]
    D(p, q) = KL(p || q) + KL(q || p)

The ascent is on D, with f(x) held fixed, from a random point in the ball, since D has no gradient at delta = 0. Here
epsilon is a true radius; in the authors' code it only guards a division.
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
    clean, clean_logits = ctx.loss()
    fixed = clean_logits.detach()

    def objective(delta_BLH: Tensor) -> Tensor:
        return symmetric_divergence(ctx, fixed, ctx.loss(delta_BLH, ascent=True)[1])

    delta, _ = ascend(ctx, starting_point(ctx, "gaussian"), objective, ctx.settings.steps)
    _, logits = ctx.loss(delta)
    smoothness = symmetric_divergence(ctx, clean_logits, logits)
    total = clean + ctx.settings.smoothness_weight * smoothness
    ctx.backward(total)
    return {"loss": (total.detach(), ctx.weight), "clean_loss": (clean.detach(), ctx.weight),
            "smoothness": (smoothness.detach(), ctx.weight), **perturbation_figures(ctx, delta)}
