"""What a head is: which transformers class carries it, its logits, its loss, and what it predicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from trainer.data.collate import Batch


@dataclass(frozen=True)
class Head:
    """Shapes: B batch, L length, H width, C classes, P predictions (B for a sentence head, masked tokens for mlm)."""

    auto_class: type
    """The transformers Auto class whose checkpoints hold this head; exported runs load through it."""
    logits: Callable[[Any, Tensor, Batch], Tensor]
    """(model, hidden_BLH, batch) -> logits (P, C)."""
    loss_sum: Callable[[Tensor, Batch], Tensor]
    """(logits, batch) -> loss summed over the P predictions, fp32 scalar."""
    score_sum: Callable[[Tensor, Batch], Tensor]
    """(logits, batch) -> (B,) float: 1 where an example is right (pair), its summed log-likelihood (mlm)."""
    higher_is_better: bool
    """Whether the best checkpoint has the highest or the lowest dev metric."""
