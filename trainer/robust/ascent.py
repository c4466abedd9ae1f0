"""Inner maximisation of pgd, fgm, smart and trades: projected gradient ascent on an objective.

    delta <- Project(delta + alpha * direction(grad_delta objective)),   K times

where direction is g / ||g||_2 (L2) or sign(g) (L-infinity), per token or per sequence. Madry et al. 2018.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from trainer.robust.protocol import Context
from trainer.robust.settings import AscentSettings, BallSettings

if TYPE_CHECKING:
    from torch import Tensor


def starting_point(ctx: Context[AscentSettings], draw: int = 0) -> Tensor:
    """Zero, or noise in the ball of radius `start_radius` times epsilon, as the settings say; (B, L, H)."""
    s = ctx.settings
    if s.start == "zero":
        return zero_perturbation(ctx)
    # Both norms scale, so noise in a ball, shrunk, is the noise of the smaller ball.
    return ctx.noise(s.start, draw) * s.start_radius


def zero_perturbation(ctx: Context[BallSettings]) -> Tensor:
    """(B, L, H) of zeros."""
    x_BLH, _ = ctx.site()
    return x_BLH.new_zeros(x_BLH.shape)


def ascend(
    ctx: Context[BallSettings], delta_BLH: Tensor, objective: Callable[[Tensor], Tensor], steps: int, step_length: float
) -> tuple[Tensor, list[Tensor]]:
    """(perturbation after `steps` steps from `delta_BLH`, objective before each step).

    objective: perturbation -> scalar, through `ctx.loss(..., ascent=True)`. step_length: as a share of epsilon.
    """
    s = ctx.settings
    x_BLH, m_BL = ctx.site()
    length = step_length * ctx.epsilon
    values = []
    for _ in range(steps):
        delta_BLH.requires_grad_(True)
        value = objective(delta_BLH)
        grad = ctx.input_grad(value, delta_BLH)
        delta_BLH = ctx.kernels.perturb_ascend(
            delta_BLH.detach(), grad, x_BLH, m_BL, length, ctx.epsilon, s.norm, s.scope)[1]
        values.append(value.detach())
        # Else the next pass would need more memory than the update: the loss keeps its graph alive.
        del grad, value
    return delta_BLH, values
