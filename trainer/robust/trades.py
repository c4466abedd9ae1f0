"""TRADES (Zhang et al., ICML 2019, arXiv 1901.08573, equation 5), at a representation site.

    min_theta E[ loss(x; theta) + beta * max_{||delta|| <= epsilon} KL(f(x) || f(x + delta)) ]

The ascent is on the divergence, with f(x) held fixed, from a random point near zero (`start_radius`).
"""

from __future__ import annotations

from typing import Literal

from trainer.robust.ascent import ascend, starting_point
from trainer.robust.plain import step as plain_step
from trainer.robust.protocol import Context, Metrics
from trainer.robust.settings import DivergenceAscentSettings
from trainer.robust.terms import perturbation_metrics


class TRADES(DivergenceAscentSettings):
    """Settings of TRADES; `smoothness_weight` is beta."""

    method: Literal["trades"] = "trades"
    """Name of the method."""


def step(ctx: Context[TRADES]) -> Metrics:
    """Back-propagate the clean loss plus the KL(clean || perturbed) that K ascent steps find."""
    if ctx.epsilon == 0.0:
        return plain_step(ctx)
    s = ctx.settings
    ctx.site()  # before the first loss, so that all passes share one pass below the site, and its dropout masks
    clean, clean_logits = ctx.loss()
    fixed = clean_logits.detach()
    delta, _ = ascend(ctx, starting_point(ctx), lambda d: ctx.divergence(fixed, ctx.loss(d, ascent=True)[1]),
                      s.ascent_steps, s.step_length)
    _, logits = ctx.loss(delta)
    smoothness = ctx.divergence(clean_logits, logits)
    total = clean + s.smoothness_weight * smoothness
    ctx.backward(total)
    return {"loss": (total.detach(), ctx.weight), "clean_loss": (clean.detach(), ctx.weight),
            "smoothness": (smoothness.detach(), ctx.weight), **perturbation_metrics(ctx, delta)}
