"""Faster training on CPUs than by transformers' and torch's defaults: dropout, and attention with it or in bf16.

torch draws a dropout mask on CPUs one element at a time, which takes longer than the products of matrices of a small
encoder in bf16. Torch's fused attention for CPUs (2.13) cannot drop out, and in bf16 its backward pass takes 4 to 10
times as long as plain products of matrices. Shapes: B batch, A heads, L length, D width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

from trainer.kernels import cpu
from trainer.model.encoders import FAMILIES

PLAIN_PRODUCTS, FUSED_PRODUCTS = "plain_products", "plain_products_with_fused_dropout"


class FusedDropout(nn.Dropout):
    """torch's module in one pass over memory; the seed of a mask comes from torch's generator."""

    def forward(self, x: Tensor) -> Tensor:
        """`x`, dropped out in training."""
        return fused_dropout(x, self.p) if self.training and self.p > 0 else x


def fused_dropout(x: Tensor, rate: float) -> Tensor:
    """`x`, dropped out by a mask of its own."""
    dropped: Tensor = torch.ops.robust_cpu.dropout(x, rate, torch.randint(2**63 - 1, ()))
    return dropped


def plain_products(
    module: nn.Module, q_BALD: Tensor, k_BALD: Tensor, v_BALD: Tensor, mask: Tensor | None,
    scaling: float | None = None, dropout: float = 0.0, *,
    drop: Callable[[Tensor, float], Tensor], **named: Any,
) -> tuple[Tensor, Tensor]:
    """Attention by matrix products, as transformers calls it: (output (B, L, A, D), weights (B, A, L, L))."""
    if (groups := q_BALD.shape[1] // k_BALD.shape[1]) > 1:  # several heads of queries to one of keys
        k_BALD, v_BALD = (one.repeat_interleave(groups, dim=1) for one in (k_BALD, v_BALD))
    scores_BALL = q_BALD * (scaling or q_BALD.shape[-1] ** -0.5) @ k_BALD.transpose(2, 3)
    weights_BALL = (scores_BALL if mask is None else scores_BALL + mask).softmax(dim=-1)
    dropped_BALL = drop(weights_BALL, dropout) if dropout > 0 and module.training else weights_BALL
    return (dropped_BALL @ v_BALD).transpose(1, 2).contiguous(), weights_BALL


for _name, _drop in ((PLAIN_PRODUCTS, nn.functional.dropout), (FUSED_PRODUCTS, fused_dropout)):
    AttentionInterface.register(_name, partial(plain_products, drop=_drop))
    AttentionMaskInterface.register(_name, eager_mask)


def fit_to_cpu(model: PreTrainedModel, precision: str) -> None:
    """Let `model` train on a CPU in what is fastest there; on a GPU nothing is changed.

    Dropout is the C++ kernel's wherever that can be built, whatever the recipe's `kernels`: those do not change a run.
    """
    if torch.cuda.is_available():
        return
    fused = cpu.why_not() is None
    setting = FAMILIES[model.config.model_type].dropouts.get("attention")
    drops = setting is not None and float(getattr(model.config, setting)) > 0
    if model.config._attn_implementation == "sdpa" and (drops or precision == "bf16"):
        model.set_attn_implementation(FUSED_PRODUCTS if fused else PLAIN_PRODUCTS)
    for module in list(model.modules()) if fused else ():
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, FusedDropout(child.p))
