"""Turns rows of a cell into the tensors of one batch, and masks tokens for masked language modelling.

Shapes: B batch, L length of the longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_prep.shards.assemble import assemble
from data_prep.shards.template import InputTemplate
from trainer.kernels import philox
from trainer.kinds.batch import IGNORED, Batch


@dataclass(frozen=True)
class Tokens:
    """Input template, special ids and vocabulary size, from a manifest's tokenizer."""

    template: InputTemplate
    pad_id: int
    mask_id: int
    unk_id: int
    vocab_size: int

    @cached_property
    def special(self) -> tuple[int, ...]:
        """Ids that are never perturbed and never masked; unknown words are content."""
        return (*self.template.special_ids, self.pad_id, self.mask_id)

    @cached_property
    def not_words(self) -> tuple[int, ...]:
        """Ids that no masked token is replaced by, sorted: the special ones and the unknown word."""
        return tuple(sorted({*self.special, self.unk_id}))


@dataclass(frozen=True)
class Masking:
    """Masked language modelling: what share of content tokens to predict, and the seed of the choice."""

    share: float
    seed: int


def collate(
    rows: Sequence[tuple[np.ndarray, np.ndarray]], labels: np.ndarray, example_ids: np.ndarray, tokens: Tokens,
    max_length: int, pad_to: int | None = None, masking: Masking | None = None, epoch: int = 0,
) -> Batch:
    """A Batch of `rows`, each (first_ids, second_ids) without special tokens.

    labels, example_ids: (B,) int64. With `masking`, labels are the masked tokens instead, chosen as a function of
    (seed, epoch, example id, token) so that they do not depend on the batch. `pad_to` None pads to the longest row.
    """
    sequences = [assemble(first, second, max_length, tokens.template) for first, second in rows]
    length = pad_to or max(len(s) for s in sequences)
    input_ids = np.full((len(rows), length), tokens.pad_id, dtype=np.int64)
    for row, sequence in enumerate(sequences):
        input_ids[row, : len(sequence)] = sequence
    lengths = np.array([len(s) for s in sequences])[:, None]
    real = np.arange(length)[None, :] < lengths
    content = torch.from_numpy(real & ~np.isin(input_ids, tokens.special))
    ids = torch.from_numpy(input_ids)
    keys = torch.from_numpy(np.asarray(example_ids, dtype=np.int64))
    targets = torch.from_numpy(np.asarray(labels, dtype=np.int64))
    if masking is not None:
        ids, targets = mask_tokens(ids, content, keys, tokens, masking, epoch)
        content &= ids != tokens.mask_id  # a mask is no content any more: there is nothing to perturb
    return Batch(
        input_ids=ids,
        attention_mask=torch.from_numpy(real),
        content_mask=content,
        labels=targets,
        example_ids=keys,
    )


def mask_tokens(
    ids_BL: Tensor, content_BL: Tensor, keys_B: Tensor, tokens: Tokens, masking: Masking, epoch: int
) -> tuple[Tensor, Tensor]:
    """(masked ids, labels), both (B, L) int64: of the chosen tokens 80 % become <mask>, 10 % a random token.

    Devlin et al. 2019, section 3.1. Every example predicts at least one token where it has any content.
    """
    words = philox.counter_bits(masking.seed, epoch, keys_B, ids_BL.shape[1], 4, philox.STREAM_MASKING)
    draw = torch.where(content_BL, philox.uniform(words[..., 0]), 2.0)
    chosen = draw < masking.share
    lowest = draw == draw.min(dim=1, keepdim=True).values
    chosen |= lowest & content_BL & ~chosen.any(dim=1, keepdim=True)
    fate = philox.uniform(words[..., 1])
    random_ids = words[..., 2] % (tokens.vocab_size - len(tokens.not_words))  # n-th word of the vocabulary
    for special in tokens.not_words:
        random_ids += random_ids >= special
    masked = torch.where(chosen & (fate < 0.8), tokens.mask_id, ids_BL)
    masked = torch.where(chosen & (fate >= 0.8) & (fate < 0.9), random_ids, masked)
    return masked, torch.where(chosen, ids_BL, IGNORED)


def tokens_of(tokenizer: Any) -> Tokens:
    """The special ids of a manifest's `tokenizer` record."""
    return Tokens(**{f.name: getattr(tokenizer, f.name) for f in fields(Tokens)})
