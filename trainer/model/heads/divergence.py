"""How far two predictions lie apart: what smoothness regularisers (SMART, TRADES, R3F) keep small.

Class distributions (sentence pairs, masked tokens, and token or span heads alike) are compared by their
Kullback-Leibler divergence at every prediction. Shapes: P predictions, C classes.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def kl_sum(logits_PC: Tensor, other_PC: Tensor) -> Tensor:
    """Sum over predictions of KL(p || q) in nats, p and q the softmax of the two logits; gradients flow to both."""
    p = functional.log_softmax(logits_PC.float(), dim=-1)
    q = functional.log_softmax(other_PC.float(), dim=-1)
    return functional.kl_div(q, p, reduction="sum", log_target=True)
