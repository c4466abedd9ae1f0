"""How far two predictions lie apart: what smoothness regularisers (SMART, TRADES, R3F) keep small.

Class distributions (sentence pairs, masked tokens, and token or span heads alike) are compared by their
Kullback-Leibler divergence at every prediction. Shapes: P predictions, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def at_least_fp32(logits: Tensor) -> Tensor:
    """bf16 and fp16 widened to fp32, in which softmax and logarithm are safe; fp64 stays as it is."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def kl_sum(logits_PC: Tensor, other_PC: Tensor) -> Tensor:
    """Sum over predictions of KL(p || q) in nats, p and q the softmax of the two logits; gradients flow to both."""
    p = functional.log_softmax(at_least_fp32(logits_PC), dim=-1)
    q = functional.log_softmax(at_least_fp32(other_PC), dim=-1)
    return functional.kl_div(q, p, reduction="sum", log_target=True)
