"""What trains faster on CPUs than transformers' and torch's defaults: dropout, and attention with it or in bf16.

torch draws a dropout mask on CPUs one element at a time, which takes longer than the products of matrices of a small
encoder in bf16. Torch's fused attention for CPUs (2.13) cannot drop out, and in bf16 its backward pass takes 4 to 10
times as long as plain products of matrices. Shapes: B batch, A heads, L length, D width of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

from trainer.kernels import cpu
from trainer.model.encoders import FAMILIES

PLAIN_PRODUCTS = "plain_products"


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator, unused-ignore]
def can_fuse() -> bool:
    """True where the C++ kernels can be built; elsewhere torch's own dropout runs."""
    return cpu.why_not() is None


class FusedDropout(nn.Dropout):
    """torch's module in one pass over memory; the seed of a mask comes from torch's generator."""

    def forward(self, x: Tensor) -> Tensor:
        """`x`, dropped out in training."""
        return fused_dropout(x, self.p) if self.training and self.p > 0 else x


def fused_dropout(x: Tensor, rate: float) -> Tensor:
    """`x`, dropped out by a mask of its own."""
    dropped: Tensor = torch.ops.robust_cpu.dropout(x, rate, torch.empty((), dtype=torch.int64).random_())
    return dropped


def plain_products(
    module: nn.Module, q_BALD: Tensor, k_BALD: Tensor, v_BALD: Tensor, mask: Tensor | None,
    scaling: float | None = None, dropout: float = 0.0, **named: Any,
) -> tuple[Tensor, Tensor]:
    """Attention by matrix products, as transformers calls it: (output (B, L, A, D), weights (B, A, L, L))."""
    if (groups := q_BALD.shape[1] // k_BALD.shape[1]) > 1:  # several heads of queries to one of keys
        k_BALD, v_BALD = (one.repeat_interleave(groups, dim=1) for one in (k_BALD, v_BALD))
    scores_BALL = q_BALD * (scaling or q_BALD.shape[-1] ** -0.5) @ k_BALD.transpose(2, 3)
    weights_BALL = (scores_BALL if mask is None else scores_BALL + mask).softmax(dim=-1)
    dropped_BALL = weights_BALL
    if dropout > 0 and module.training:
        dropped_BALL = (fused_dropout if can_fuse() else nn.functional.dropout)(weights_BALL, dropout)
    return (dropped_BALL @ v_BALD).transpose(1, 2).contiguous(), weights_BALL


AttentionInterface.register(PLAIN_PRODUCTS, plain_products)
AttentionMaskInterface.register(PLAIN_PRODUCTS, eager_mask)


def fit_to_cpu(model: PreTrainedModel, precision: str) -> None:
    """Let `model` train on a CPU in what is fastest there; on a GPU nothing is changed."""
    if torch.cuda.is_available():
        return
    setting = FAMILIES[model.config.model_type].dropouts.get("attention")
    drops = setting is not None and float(getattr(model.config, setting)) > 0
    if model.config._attn_implementation == "sdpa" and (drops or precision == "bf16"):
        model.set_attn_implementation(PLAIN_PRODUCTS)
    if can_fuse():
        for module in list(model.modules()):
            for name, child in module.named_children():
                if type(child) is nn.Dropout:
                    setattr(module, name, FusedDropout(child.p))
