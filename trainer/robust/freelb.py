"""FreeLB (Zhu, Cheng, Gan, Sun, Goldstein, Liu, ICLR 2020, arXiv 1909.11764), at a representation site.

    g = 1/K * sum_{t=0}^{K-1} grad_theta loss(x + delta_t; theta)
    delta_{t+1} = Project(delta_t + alpha * direction(grad_delta loss(x + delta_t)))

Algorithm 1 of the paper: every ascent pass also contributes its parameter gradient, so that K passes cost K plain
steps. The last one does not move the perturbation, so K is at least 2 (3 by default). `clean_weight` adds a pass at
the clean input, which helps where K is small.
"""

from __future__ import annotations

import torch

from trainer.robust.ascent import starting_point, step_length
from trainer.robust.plain import step as plain_step
from trainer.robust.protocol import Context, Figures
from trainer.robust.terms import perturbation_figures


def step(ctx: Context) -> Figures:
    """K passes, each of which adds a K-th of its gradient and moves the perturbation on."""
    if ctx.epsilon == 0.0:
        return plain_step(ctx)
    s = ctx.settings
    x_BLH, m_BL = ctx.site()
    figures = {}
    total = torch.zeros((), device=x_BLH.device)
    if s.clean_weight:
        clean, _ = ctx.accumulate(torch.zeros_like(x_BLH), s.clean_weight, last=False)
        total = s.clean_weight * clean
        figures["clean_loss"] = (clean, ctx.weight)
    delta = starting_point(ctx, "freelb")
    length = step_length(s, s.ascent_steps) * ctx.epsilon
    for number in range(s.ascent_steps):
        last = number == s.ascent_steps - 1
        loss, grad = ctx.accumulate(delta, 1.0 / s.ascent_steps, last=last)
        total = total + loss / s.ascent_steps
        if not last:
            _, delta = ctx.kernels.perturb_ascend(delta, grad, x_BLH, m_BL, length, ctx.epsilon, s.norm, s.scope)
    figures["adversarial_loss"] = (loss, ctx.weight)
    return {"loss": (total, ctx.weight), **figures, **perturbation_figures(ctx, delta)}
