"""Adversarial training by projected gradient ascent (Madry et al. 2018), at a representation site.

    min_theta E[ max_{||delta|| <= epsilon} loss(x + delta; theta)  +  clean_weight * loss(x; theta) ]

The inner maximum is approximated by K steps of ascent (3 by default), from one or several starting points. This is
"ADV" of Huang et al. 2021 (arXiv 2104.08645) with the perturbation at the embeddings. The default start is zero, so
that the first pass gives the clean loss for free; Madry et al. start at random in the ball (`start: uniform`). One step
from zero with `clean_weight: 1` is `fgm`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from trainer.robust.ascent import ascend, starting_point
from trainer.robust.plain import step as plain_step
from trainer.robust.protocol import Context, Metrics
from trainer.robust.settings import AscentSettings, Start
from trainer.robust.terms import perturbation_metrics
from trainer.settings import Weight

if TYPE_CHECKING:
    from torch import Tensor


class PGD(AscentSettings):
    """Settings of adversarial training by projected gradient ascent."""

    method: Literal["pgd"] = "pgd"
    """Name of the method."""
    ascent_steps: int = Field(default=3, ge=1, le=1000)
    """Ascent steps K."""
    start: Start = "zero"
    """Starting point of the ascent; from zero, the first gradient is the clean one."""
    restarts: int = Field(default=1, ge=1, lt=64)
    """Number of ascents from independent starts; each example keeps the perturbation with the highest loss."""
    clean_weight: Weight = 0.0
    """Weight of the loss on the clean input, added to that on the perturbed one."""

    @model_validator(mode="after")
    def _restarts_differ(self) -> PGD:
        if self.restarts > 1 and self.start == "zero":
            raise ValueError("robust.restarts: several ascents need a random start; set robust.start to uniform")
        return self


def step(ctx: Context[PGD]) -> Metrics:
    """Back-propagate the loss at the perturbation that K ascent steps find."""
    if ctx.epsilon == 0.0:
        return plain_step(ctx)
    s = ctx.settings
    delta, first = _ascend_on_the_loss(ctx)
    if s.restarts > 1:
        delta = _worst_of_restarts(ctx, delta)
    adversarial, _ = ctx.loss(delta)
    total = adversarial
    metrics = {"adversarial_loss": (adversarial.detach(), ctx.weight)}
    if s.clean_weight:
        clean, _ = ctx.loss()
        total = adversarial + s.clean_weight * clean
        metrics["clean_loss"] = (clean.detach(), ctx.weight)
    elif s.start == "zero":
        metrics["clean_loss"] = (first[0], ctx.weight)  # the first ascent pass saw the clean input
    ctx.backward(total)
    return {"loss": (total.detach(), ctx.weight), **metrics, **perturbation_metrics(ctx, delta)}


def _ascend_on_the_loss(ctx: Context[PGD], draw: int = 0) -> tuple[Tensor, list[Tensor]]:
    s = ctx.settings
    return ascend(ctx, starting_point(ctx, draw), lambda d: ctx.loss(d, ascent=True)[0], s.ascent_steps, s.step_length)


def _worst_of_restarts(ctx: Context[PGD], delta_BLH: Tensor) -> Tensor:
    """Perturbation with the highest loss over all restarts, per example (`delta_BLH` is draw 0, others 1, 2, ...)."""
    import torch

    best = delta_BLH
    with torch.no_grad():
        highest = ctx.losses(ctx.loss(best, ascent=True)[1])
    for draw in range(1, ctx.settings.restarts):
        other, _ = _ascend_on_the_loss(ctx, draw)
        with torch.no_grad():
            losses = ctx.losses(ctx.loss(other, ascent=True)[1])
        best = torch.where((losses > highest).view(-1, 1, 1), other, best)
        highest = torch.maximum(losses, highest)
    return best
