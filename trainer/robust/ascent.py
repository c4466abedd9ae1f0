"""The inner maximisation that pgd, fgm, smart and trades share: projected gradient ascent on an objective.

    delta <- Project(delta + alpha * direction(grad_delta objective)),   K times

where direction is g / ||g||_2 (L2) or sign(g) (L-infinity), per token or per sequence. Madry et al. 2018.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trainer.config.schema import START, RobustSection
from trainer.robust.protocol import Context


def starting_point(ctx: Context, method: str, draw: int = 0) -> Tensor:
    """Zero, or noise in the ball of radius `start_radius` times epsilon, as the settings say; (B, L, H).

    method: whose default start is taken where the settings name none.
    """
    kind = ctx.settings.start or START[method]
    if kind == "zero":
        return torch.zeros_like(ctx.site()[0])
    # Both norms scale, so noise in a ball, shrunk, is the noise of the smaller ball.
    return ctx.noise(kind, draw) * ctx.settings.start_radius


def step_length(settings: RobustSection, steps: int) -> float:
    """Length of one ascent step as a share of epsilon: one step reaches the boundary, several can cross the ball."""
    if settings.ascent_step_size is not None:
        return settings.ascent_step_size
    return 1.0 if steps == 1 else 2.5 / steps


def ascend(
    ctx: Context, delta_BLH: Tensor, objective: Callable[[Tensor], Tensor], steps: int, step_size: float | None = None
) -> tuple[Tensor, list[Tensor]]:
    """(perturbation after `steps` steps from `delta_BLH`, objective before each step).

    objective: perturbation -> scalar, through `ctx.loss(..., ascent=True)`. step_size: length of a step as a share of
    epsilon; None takes the settings'.
    """
    s = ctx.settings
    x_BLH, m_BL = ctx.site()
    length = (step_length(s, steps) if step_size is None else step_size) * ctx.epsilon
    values = []
    for _ in range(steps):
        delta_BLH.requires_grad_(True)
        value = objective(delta_BLH)
        grad = ctx.input_grad(value, delta_BLH)
        delta_BLH = ctx.kernels.perturb_ascend(
            delta_BLH.detach(), grad, x_BLH, m_BL, length, ctx.epsilon, s.norm, s.scope)[1]
        values.append(value.detach())
        # Else the next pass would need more memory than the update: the loss holds on to the delta it was taken at.
        del grad, value
    return delta_BLH, values
