"""Masked language modelling (Devlin et al. 2019): cross-entropy at the masked tokens only."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForMaskedLM

from trainer.kinds.batch import IGNORED, Batch
from trainer.kinds.divergence import at_least_fp32, kl_sum
from trainer.kinds.protocol import Head


def logits(head: Callable[[Tensor], Tensor], hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(P, V) logits of the P masked tokens; with a vocabulary of 250,002 the others would cost most of the step."""
    return head(hidden_BLH[batch.labels != IGNORED])


def losses(logits_PV: Tensor, batch: Batch) -> Tensor:
    """(B,) cross-entropy summed over each example's masked tokens, in nats."""
    masked = batch.labels != IGNORED
    nats = functional.cross_entropy(at_least_fp32(logits_PV), batch.labels[masked], reduction="none")
    per_example = nats.new_zeros(batch.labels.shape[0])
    return per_example.index_add(0, masked.nonzero()[:, 0], nats)


HEAD = Head(AutoModelForMaskedLM, logits, losses, kl_sum)
