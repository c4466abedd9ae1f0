"""What a head is: which transformers class carries it, its logits, its loss, and what it predicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from trainer.kinds.batch import Batch


@dataclass(frozen=True)
class Head:
    """Shapes: B batch, L length, H width, C classes, P predictions (B for a sentence head, masked tokens for mlm)."""

    auto_class: type
    """The transformers Auto class whose checkpoints hold this head; exported runs load through it."""
    logits: Callable[[Callable[[Tensor], Tensor], Tensor, Batch], Tensor]
    """(transformers' head, hidden_BLH, batch) -> logits (P, C)."""
    losses: Callable[[Tensor, Batch], Tensor]
    """(logits, batch) -> (B,) loss of each example, summed over its predictions, fp32."""
    divergence: Callable[[Tensor, Tensor], Tensor]
    """(logits, other logits) -> how far the second predicts from the first, summed over predictions, fp32 scalar."""
