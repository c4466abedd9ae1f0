"""Adversarial training by projected gradient ascent (Madry et al. 2018), at a representation site.

    min_theta E[ max_{||delta|| <= epsilon} loss(x + delta; theta)  +  clean_weight * loss(x; theta) ]

The inner maximum is approximated by K steps  delta <- Project(delta + alpha * direction(grad_delta loss)),
where direction is g / ||g||_2 (L2) or sign(g) (L-infinity). This is "ADV" of Huang et al. 2021
(arXiv 2104.08645) with the perturbation at the embeddings.
"""

from __future__ import annotations

import torch

from trainer.robust.plain import step as plain_step
from trainer.robust.protocol import Context, Figures
from trainer.robust.terms import perturbation_figures


def step(ctx: Context) -> Figures:
    """K ascent steps, then the update at the perturbation they found."""
    if ctx.epsilon == 0.0:
        return plain_step(ctx)
    s = ctx.settings
    x_BLH, m_BL = ctx.site()
    delta = torch.zeros_like(x_BLH) if s.start == "zero" else ctx.noise(s.start, draw=0)
    share = s.step_size if s.step_size is not None else (1.0 if s.steps == 1 else 2.5 / s.steps)
    for _ in range(s.steps):
        delta.requires_grad_(True)
        ascent_loss, _ = ctx.loss(delta, ascent=True)
        grad = ctx.input_grad(ascent_loss, delta)
        _, delta = ctx.kernels.perturb_ascend(
            delta.detach(), grad, x_BLH, m_BL, share * ctx.epsilon, ctx.epsilon, s.norm, s.scope)
    adversarial, _ = ctx.loss(delta)
    total = adversarial
    figures = {"adversarial_loss": (adversarial.detach(), ctx.weight)}
    if s.clean_weight:
        clean, _ = ctx.loss()
        total = adversarial + s.clean_weight * clean
        figures["clean_loss"] = (clean.detach(), ctx.weight)
    elif s.start == "zero" and s.steps == 1:
        figures["clean_loss"] = (ascent_loss.detach(), ctx.weight)  # the first ascent pass saw the clean input
    ctx.backward(total)
    return {"loss": (total.detach(), ctx.weight), **figures, **perturbation_figures(ctx, delta)}
