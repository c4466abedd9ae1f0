"""R3F (Aghajanyan et al., ICLR 2021, arXiv 2008.03156, equation 5), at a representation site.

    min_theta E[ loss(x; theta) + lambda * E_z D(f(x), f(x + z)) ],   D(p, q) = KL(p || q) + KL(q || p)

with z drawn in the ball, uniform or Gaussian: the smoothness of SMART without its ascent.
"""

from __future__ import annotations

from typing import Literal

from trainer.robust.plain import step as plain_step
from trainer.robust.protocol import Context, Metrics
from trainer.robust.settings import NoiseSettings
from trainer.robust.terms import mean, perturbation_metrics, symmetric_divergence
from trainer.settings import Positive


class R3F(NoiseSettings):
    """Settings of R3F."""

    method: Literal["r3f"] = "r3f"
    """Name of the method."""
    smoothness_weight: Positive = 1.0
    """Weight lambda of the divergence between the clean and the perturbed prediction."""


def step(ctx: Context[R3F]) -> Metrics:
    """Back-propagate the clean loss plus the mean divergence over M noisy copies."""
    if ctx.epsilon == 0.0:
        return plain_step(ctx)
    s = ctx.settings
    # Noise is drawn first: it runs the layers below the site once, for all losses, with one set of dropout masks.
    deltas = [ctx.noise(s.noise, draw) for draw in range(s.draws)]
    clean, clean_logits = ctx.loss()
    smoothness = mean([symmetric_divergence(ctx, clean_logits, ctx.loss(delta)[1]) for delta in deltas])
    total = clean + s.smoothness_weight * smoothness
    ctx.backward(total)
    return {"loss": (total.detach(), ctx.weight), "clean_loss": (clean.detach(), ctx.weight),
            "smoothness": (smoothness.detach(), ctx.weight), **perturbation_metrics(ctx, deltas[0])}
