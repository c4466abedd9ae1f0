"""Sentence-pair classification: softmax over classes at the first token, cross-entropy."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForSequenceClassification

from trainer.kinds.batch import Batch
from trainer.kinds.divergence import at_least_fp32, kl_sum
from trainer.kinds.protocol import Head


def logits(model: Any, hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(B, C) logits from the first token, through transformers' own classification head."""
    scores: Tensor = model.classifier(hidden_BLH)
    return scores


def losses(logits_BC: Tensor, batch: Batch) -> Tensor:
    """(B,) cross-entropy of each example, in nats."""
    return functional.cross_entropy(at_least_fp32(logits_BC), batch.labels, reduction="none")


HEAD = Head(AutoModelForSequenceClassification, logits, losses, kl_sum)
