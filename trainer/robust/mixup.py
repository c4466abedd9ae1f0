"""Mixup at a representation site (Zhang, Cisse, Dauphin, Lopez-Paz, ICLR 2018, arXiv 1710.09412).

    min_theta E[ w * l(f(z), y) + (1 - w) * l(f(z), y') ],   z = w * x + (1 - w) * x',   w ~ Beta(alpha, alpha)

x' and y' belong to the partner: another example of the global batch, or (`partner: copy`) another copy of the same row
in an augmented cell, whose label is the same. The latter mixes a sentence with its own variation, as SALT does after
its offline step (Wang, Huang, Chang, Chen 2023, arXiv 2309.10891).

Only tokens that are content in both are mixed, and w is at least one half (as in Berthelot et al. 2019, equation 9),
since the mixture keeps the length and the special tokens of x.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from trainer.robust.plain import step as plain_step
from trainer.robust.protocol import Context, Metrics
from trainer.robust.settings import PartnerSource, SiteSettings
from trainer.settings import Positive

if TYPE_CHECKING:
    from torch import Tensor


class Mixup(SiteSettings):
    """Settings of mixup; it has no ball, and is plain training until `ramp_start` of the run."""

    method: Literal["mixup"] = "mixup"
    """Name of the method."""
    mixing_alpha: Positive = 0.2
    """Parameter alpha of Beta(alpha, alpha), from which an example's weight in its mixture is drawn; see `_weights`."""
    partner: PartnerSource = "batch"
    """Partner of an example: another one of the global batch, or another copy of the same row in a cell made by
    `python -m data_prep augment`."""

    @property
    def partner_source(self) -> PartnerSource:
        """As in `MethodSettings`."""
        return self.partner


def step(ctx: Context[Mixup]) -> Metrics:
    """Back-propagate the loss of the mixture against both labels, weighted by their shares."""
    if ctx.epsilon == 0.0:
        return plain_step(ctx)
    towards_BLH = ctx.towards_partner()
    weight_B = _weights(ctx).to(towards_BLH.device)
    _, logits = ctx.loss((1.0 - weight_B).view(-1, 1, 1) * towards_BLH)
    own_B, other_B = ctx.losses(logits), ctx.losses(logits, of_partner=True)
    total = (weight_B * own_B + (1.0 - weight_B) * other_B).sum()
    ctx.backward(total)
    return {"loss": (total.detach(), ctx.weight), "own_loss": (own_B.detach().sum(), ctx.weight),
            "mixing_weight": (weight_B.sum(), ctx.weight)}


def _weights(ctx: Context[Mixup]) -> Tensor:
    """(B,) fp32 weights in [1/2, 1): Beta(alpha, alpha) through the inverse of its distribution function."""
    import torch
    from scipy.special import betaincinv

    alpha = ctx.settings.mixing_alpha
    drawn = torch.from_numpy(betaincinv(alpha, alpha, ctx.uniform().numpy()))
    return torch.maximum(drawn, 1.0 - drawn).float()
