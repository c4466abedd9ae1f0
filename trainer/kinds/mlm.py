"""Masked language modelling (Devlin et al. 2019, arXiv 1810.04805): cross-entropy at the masked tokens only.

Shapes: B batch, L length, P masked tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional

from data_prep.base.errors import InputError
from trainer.kernels import philox
from trainer.kinds.batch import Batch
from trainer.kinds.divergence import at_least_fp32, kl_sum
from trainer.kinds.kind import Array, Kind, Masking
from trainer.kinds.tokens import Tokens

IGNORED = -100  # label of tokens that are not predicted, as in torch's cross_entropy


def targets(rows: pa.Table, batch: Batch) -> dict[str, Tensor]:
    """None: labels come from `mask`."""
    return {}


def mask(batch: Batch, tokens: Tokens, masking: Masking, epoch: int) -> Batch:
    """Mask tokens, and add the target `labels`, (B, L) int64: the ids of the chosen tokens, IGNORED elsewhere.

    Of the chosen tokens 80 % become <mask>, 10 % a random token (Devlin et al., section 3.1). Every example predicts
    at least one token where it has any content. The choice is a function of (seed, epoch, example id, token), so that
    it does not depend on the batch. A <mask> is no longer content, so it is not perturbed.
    """
    if tokens.mask_id is None:
        raise InputError("the shards' tokenizer has no mask token; build them with one that has")
    ids_BL, content_BL = batch.input_ids, batch.content_mask
    words = philox.counter_bits(masking.seed, epoch, batch.example_ids, ids_BL.shape[1], 4, philox.STREAM_MASKING)
    draw = torch.where(content_BL, philox.uniform(words[..., 0]), 2.0)
    chosen = draw < masking.ratio
    lowest = draw == draw.min(dim=1, keepdim=True).values
    chosen |= lowest & content_BL & ~chosen.any(dim=1, keepdim=True)
    fate = philox.uniform(words[..., 1])
    random_ids = words[..., 2] % (tokens.vocab_size - len(tokens.not_words))  # n-th word of the vocabulary
    for special in tokens.not_words:
        random_ids += random_ids >= special
    masked = torch.where(chosen & (fate < 0.8), tokens.mask_id, ids_BL)
    masked = torch.where(chosen & (fate >= 0.8) & (fate < 0.9), random_ids, masked)
    return replace(batch, input_ids=masked, content_mask=content_BL & (masked != tokens.mask_id),
                   targets={"labels": torch.where(chosen, ids_BL, IGNORED)})


def logits(head: Callable[[Tensor], Tensor], hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(P, V) logits of the P masked tokens; with a vocabulary of 250,002 the others would cost most of the step."""
    return head(hidden_BLH[batch.targets["labels"] != IGNORED])


def losses(logits_PV: Tensor, batch: Batch) -> Tensor:
    """(B,) cross-entropy summed over each example's masked tokens, in nats."""
    labels_BL = batch.targets["labels"]
    masked = labels_BL != IGNORED
    nats = functional.cross_entropy(at_least_fp32(logits_PV), labels_BL[masked], reduction="none")
    per_example = nats.new_zeros(labels_BL.shape[0])
    return per_example.index_add(0, masked.nonzero()[:, 0], nats)


def loss_count(batch: Batch) -> Tensor:
    """Number of masked tokens."""
    return (batch.targets["labels"] != IGNORED).sum()


def decode(logits_PV: Tensor, batch: Batch) -> Array:
    """(B,) summed negative log-likelihood of the masked tokens, in nats."""
    return losses(logits_PV, batch).double().cpu().numpy()


def gold(batch: Batch) -> Array:
    """(B,) number of masked tokens; their ids are part of the likelihood."""
    return (batch.targets["labels"] != IGNORED).sum(dim=1).cpu().numpy().astype(np.float64)


KIND = Kind("AutoModelForMaskedLM", targets, logits, losses, loss_count, kl_sum, decode, gold, mask=mask,
            metrics=("perplexity",))
