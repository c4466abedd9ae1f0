"""Sentence-pair classification: softmax over classes at the first token, cross-entropy."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForSequenceClassification

from trainer.data.collate import Batch
from trainer.model.heads.protocol import Head


def logits(model: Any, hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(B, C) logits from the first token, through transformers' own classification head."""
    scores: Tensor = model.classifier(hidden_BLH)
    return scores


def loss_sum(logits_BC: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy summed over examples, in nats."""
    return functional.cross_entropy(logits_BC.float(), batch.labels, reduction="sum")


def score_sum(logits_BC: Tensor, batch: Batch) -> Tensor:
    """1.0 for each example whose most probable class is its label, else 0.0."""
    return (logits_BC.argmax(dim=-1) == batch.labels).float()


HEAD = Head(AutoModelForSequenceClassification, logits, loss_sum, score_sum, higher_is_better=True)
