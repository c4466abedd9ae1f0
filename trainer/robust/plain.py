"""Ordinary training: min over theta of E[ loss(x; theta) ]. The baseline of every comparison."""

from __future__ import annotations

from typing import Literal

from trainer.robust.protocol import Context, Metrics
from trainer.robust.settings import MethodSettings


class Plain(MethodSettings):
    """No settings: nothing is perturbed."""

    method: Literal["plain"] = "plain"
    """Name of the method."""


def step(ctx: Context[MethodSettings]) -> Metrics:
    """Back-propagate the clean loss of the micro-batch."""
    loss, _ = ctx.loss()
    ctx.backward(loss)
    return {"loss": (loss.detach(), ctx.weight)}
