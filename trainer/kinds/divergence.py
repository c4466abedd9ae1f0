"""Divergence of two predictions, which the smoothness regularisers (SMART, TRADES, R3F) minimise.

Shapes: P predictions, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from trainer.kinds.batch import Batch


def at_least_fp32(logits: Tensor) -> Tensor:
    """bf16 and fp16 widened to fp32, where softmax and logarithm are accurate; fp64 stays as it is."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def kl_sum(logits_PC: Tensor, other_PC: Tensor, batch: Batch) -> Tensor:
    """Sum over predictions of KL(p || q) in nats, p and q the softmax of the two logits; gradients flow to both."""
    p = functional.log_softmax(at_least_fp32(logits_PC), dim=-1)
    q = functional.log_softmax(at_least_fp32(other_PC), dim=-1)
    return functional.kl_div(q, p, reduction="sum", log_target=True)
