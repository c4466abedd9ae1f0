"""Adversarial training by projected gradient ascent (Madry et al. 2018), at a representation site.

    min_theta E[ max_{||delta|| <= epsilon} loss(x + delta; theta)  +  clean_weight * loss(x; theta) ]

The inner maximum is approximated by K steps of ascent (3 by default), from one or several starting points. This is
"ADV" of Huang et al. 2021 (arXiv 2104.08645) with the perturbation at the embeddings. The default start is zero, where
Madry et al. start at random in the ball (`start: uniform`): the first pass then sees the clean input, whose loss it
reports for free. One step from zero with `clean_weight: 1` is `fgm`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.robust.ascent import ascend, starting_point
from trainer.robust.plain import step as plain_step
from trainer.robust.protocol import Context, Figures
from trainer.robust.terms import perturbation_figures


def step(ctx: Context) -> Figures:
    """K ascent steps, then the update at the perturbation they found."""
    if ctx.epsilon == 0.0:
        return plain_step(ctx)
    s = ctx.settings
    delta, first = ascend(ctx, starting_point(ctx, "pgd"), lambda d: ctx.loss(d, ascent=True)[0], s.ascent_steps)
    if s.restarts > 1:
        delta = _worst_of_restarts(ctx, delta)
    adversarial, _ = ctx.loss(delta)
    total = adversarial
    figures = {"adversarial_loss": (adversarial.detach(), ctx.weight)}
    if s.clean_weight:
        clean, _ = ctx.loss()
        total = adversarial + s.clean_weight * clean
        figures["clean_loss"] = (clean.detach(), ctx.weight)
    elif s.start in (None, "zero"):
        figures["clean_loss"] = (first[0], ctx.weight)  # the first ascent pass saw the clean input
    ctx.backward(total)
    return {"loss": (total.detach(), ctx.weight), **figures, **perturbation_figures(ctx, delta)}


def _worst_of_restarts(ctx: Context, delta_BLH: Tensor) -> Tensor:
    """Per example, the perturbation of all restarts (draws 1, 2, ...; `delta_BLH` is draw 0) with the highest loss."""
    s = ctx.settings
    best = delta_BLH
    with torch.no_grad():
        highest = ctx.losses(ctx.loss(best, ascent=True)[1])
    for draw in range(1, s.restarts):
        other, _ = ascend(ctx, starting_point(ctx, "pgd", draw), lambda d: ctx.loss(d, ascent=True)[0], s.ascent_steps)
        with torch.no_grad():
            losses = ctx.losses(ctx.loss(other, ascent=True)[1])
        best = torch.where((losses > highest).view(-1, 1, 1), other, best)
        highest = torch.maximum(losses, highest)
    return best
