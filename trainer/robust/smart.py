"""Smoothness-inducing adversarial regularisation of SMART (Jiang et al., ACL 2020, arXiv 1911.03437, equations 1 to 4).

    min_theta E[ loss(x; theta) + lambda * max_{||delta|| <= epsilon} D(f(x + delta), f(x))
                 + mu * D(f(x; theta), f(x; theta_bar)) ]
    D(p, q) = KL(p || q) + KL(q || p),   theta_bar <- beta * theta_bar + (1 - beta) * theta  after every step

The ascent is on D, with f(x) held fixed, from a random point near zero (`start_radius`), since D has no gradient at
delta = 0. Here epsilon is a true radius; in the authors' code it only guards a division. The last term
(momentum Bregman proximal point), which keeps the model near its EMA, is on if mu = `bregman_weight` is not zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from trainer.robust.ascent import ascend, starting_point
from trainer.robust.plain import step as plain_step
from trainer.robust.protocol import Context, Metrics
from trainer.robust.settings import DivergenceAscentSettings
from trainer.robust.terms import perturbation_metrics, symmetric_divergence
from trainer.settings import Share, Weight

if TYPE_CHECKING:
    from torch import Tensor


class SMART(DivergenceAscentSettings):
    """Settings of SMART."""

    method: Literal["smart"] = "smart"
    """Name of the method."""
    bregman_weight: Weight = 0.0
    """Weight mu of the divergence from the EMA of the model, a copy that costs every rank four bytes per parameter at
    every ZeRO stage."""
    bregman_momentum: Share = 0.99
    """Decay beta of the EMA."""

    @property
    def ema_decay(self) -> float | None:
        """As in `MethodSettings`."""
        return self.bregman_momentum if self.bregman_weight else None

    def resolved(self) -> dict[str, Any]:
        """As in `MethodSettings`; the momentum has no effect without its term."""
        found = super().resolved()
        if not self.bregman_weight:
            del found["bregman_momentum"]
        return found


def step(ctx: Context[SMART]) -> Metrics:
    """Back-propagate the clean loss plus the divergence that K ascent steps find, plus the Bregman term."""
    if ctx.epsilon == 0.0:
        return plain_step(ctx)
    s = ctx.settings
    ctx.site()  # before the first loss, so that all passes share one pass below the site, and its dropout masks
    clean, clean_logits = ctx.loss()
    fixed = clean_logits.detach()

    def objective(delta_BLH: Tensor) -> Tensor:
        return symmetric_divergence(ctx, fixed, ctx.loss(delta_BLH, ascent=True)[1])

    delta, _ = ascend(ctx, starting_point(ctx), objective, s.ascent_steps, s.step_length)
    _, logits = ctx.loss(delta)
    smoothness = symmetric_divergence(ctx, clean_logits, logits)
    total = clean + s.smoothness_weight * smoothness
    metrics = {"clean_loss": (clean.detach(), ctx.weight), "smoothness": (smoothness.detach(), ctx.weight)}
    if s.bregman_weight:
        drift = symmetric_divergence(ctx, ctx.ema_logits(), clean_logits)
        total = total + s.bregman_weight * drift
        metrics["drift"] = (drift.detach(), ctx.weight)
    ctx.backward(total)
    return {"loss": (total.detach(), ctx.weight), **metrics, **perturbation_metrics(ctx, delta)}
