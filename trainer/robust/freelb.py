"""FreeLB (Zhu, Cheng, Gan, Sun, Goldstein, Liu, ICLR 2020, arXiv 1909.11764), at a representation site.

    g = 1/K * sum_{t=0}^{K-1} grad_theta loss(x + delta_t; theta)
    delta_{t+1} = Project(delta_t + alpha * direction(grad_delta loss(x + delta_t)))

Algorithm 1 of the paper: every ascent pass also contributes its parameter gradient, so that K passes cost K plain
steps. The last one does not move the perturbation, so K is at least 2 (3 by default). `clean_weight` adds a pass at
the clean input, which helps where K is small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from trainer.robust.ascent import starting_point, zero_perturbation
from trainer.robust.plain import step as plain_step
from trainer.robust.protocol import Context, Metrics
from trainer.robust.settings import AscentSettings, Start
from trainer.robust.terms import perturbation_metrics
from trainer.settings import Weight

if TYPE_CHECKING:
    from torch import Tensor


class FreeLB(AscentSettings):
    """Settings of FreeLB."""

    method: Literal["freelb"] = "freelb"
    """Name of the method."""
    ascent_steps: int = Field(default=3, ge=1, le=1000)
    """Passes K, at least 2: the last one does not move the perturbation."""
    start: Start = "uniform"
    """Starting point of the ascent."""
    clean_weight: Weight = 0.0
    """Weight of the loss on the clean input, added to that on the perturbed one."""

    @model_validator(mode="after")
    def _moves(self) -> FreeLB:
        if self.ascent_steps < 2:
            raise ValueError("robust.ascent_steps: freelb ascends between its passes and needs at least 2, found 1; "
                             "set 2 or more, or robust.method random_noise, which is what 1 would be")
        return self


def step(ctx: Context[FreeLB]) -> Metrics:
    """Run K passes; each adds 1/K of its gradient to the update and moves the perturbation."""
    if ctx.epsilon == 0.0:
        return plain_step(ctx)
    s = ctx.settings
    x_BLH, m_BL = ctx.site()
    metrics = {}
    total: Tensor | float = 0.0
    if s.clean_weight:
        clean, _ = ctx.accumulate(zero_perturbation(ctx), s.clean_weight, last=False)
        total = s.clean_weight * clean
        metrics["clean_loss"] = (clean, ctx.weight)
    delta = starting_point(ctx)
    length = s.step_length * ctx.epsilon
    for number in range(s.ascent_steps):
        last = number == s.ascent_steps - 1
        loss, grad = ctx.accumulate(delta, 1.0 / s.ascent_steps, last=last)
        total = total + loss / s.ascent_steps
        if not last:
            _, delta = ctx.kernels.perturb_ascend(delta, grad, x_BLH, m_BL, length, ctx.epsilon, s.norm, s.scope)
    metrics["adversarial_loss"] = (loss, ctx.weight)
    return {"loss": (total, ctx.weight), **metrics, **perturbation_metrics(ctx, delta)}
