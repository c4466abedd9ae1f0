"""Terms that several robust methods share: the symmetric divergence, the mean over draws, metrics of perturbations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainer.robust.protocol import Context, Metrics
from trainer.robust.settings import BallSettings, MethodSettings

if TYPE_CHECKING:
    from torch import Tensor


def mean(parts: Sequence[Tensor]) -> Tensor:
    """Mean of scalars."""
    import torch

    return torch.stack(list(parts)).mean()


def perturbation_metrics(ctx: Context[BallSettings], delta_BLH: Tensor) -> Metrics:
    """Mean norm per ball, and share of balls whose perturbation lies on the boundary (within 1 %).

    A ball is a content token or a whole sequence, as the settings' scope says; its norm is the settings' norm.
    """
    _, m_BL = ctx.site()
    sizes = ball_norms(delta_BLH.detach(), m_BL, ctx.settings.norm, ctx.settings.scope)
    count = sizes.new_tensor(float(sizes.numel()))
    return {
        "perturbation_norm": (sizes.sum(), count),
        "boundary_share": ((sizes >= 0.99 * ctx.epsilon).sum(), count),
    }


def symmetric_divergence(ctx: Context[MethodSettings], logits: Tensor, other: Tensor) -> Tensor:
    """D(p, q) + D(q, p), summed over predictions."""
    return ctx.divergence(logits, other) + ctx.divergence(other, logits)


def ball_norms(x_BLH: Tensor, m_BL: Tensor, norm: str, scope: str) -> Tensor:
    """Norms of all balls of a batch in fp32, shape (balls,): one per content token, or one per example."""
    import torch

    order = float("inf") if norm == "linf" else 2.0
    x = torch.where(m_BL.unsqueeze(-1), x_BLH.float(), 0.0)
    norms: Tensor = torch.linalg.vector_norm(x, order, dim=-1 if scope == "token" else (-2, -1))
    return norms[m_BL] if scope == "token" else norms
