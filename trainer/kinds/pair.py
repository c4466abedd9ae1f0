"""Sentence-pair classification: softmax over classes at the first token, cross-entropy."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForSequenceClassification

from trainer.kinds.batch import Batch
from trainer.kinds.divergence import at_least_fp32, kl_sum
from trainer.kinds.protocol import Head


def logits(head: Callable[[Tensor], Tensor], hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(B, C) logits, through transformers' own classification head."""
    return head(hidden_BLH)


def losses(logits_BC: Tensor, batch: Batch) -> Tensor:
    """(B,) cross-entropy of each example, in nats."""
    return functional.cross_entropy(at_least_fp32(logits_BC), batch.labels, reduction="none")


HEAD = Head(AutoModelForSequenceClassification, logits, losses, kl_sum)
