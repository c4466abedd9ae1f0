"""Ordinary training: min over theta of E[ loss(x; theta) ]. The baseline of every comparison."""

from __future__ import annotations

from trainer.robust.protocol import Context, Figures


def step(ctx: Context) -> Figures:
    """Back-propagate the loss of the micro-batch as it is."""
    loss, _ = ctx.loss()
    ctx.backward(loss)
    return {"loss": (loss.detach(), ctx.weight)}
