"""What several robust methods report alike: how long their perturbations are, and how many touch the ball."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.robust.protocol import Context, Figures


def perturbation_figures(ctx: Context, delta_BLH: Tensor) -> Figures:
    """Mean norm per ball, and the share of balls whose perturbation lies on the boundary (within 1 %).

    A ball is a content token or a whole sequence, as the settings' scope says; its norm is the settings' norm.
    """
    _, m_BL = ctx.site()
    s = ctx.settings
    order = float("inf") if s.norm == "linf" else 2.0
    delta = delta_BLH.detach().float()
    if s.scope == "token":
        sizes = torch.linalg.vector_norm(delta, order, dim=-1)[m_BL]
    else:
        sizes = torch.linalg.vector_norm(delta, order, dim=(-2, -1))
    count = torch.tensor(float(sizes.numel()), device=delta.device)
    return {
        "perturbation_norm": (sizes.sum(), count),
        "boundary_share": ((sizes >= 0.99 * ctx.epsilon).sum(), count),
    }
