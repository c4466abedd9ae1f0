"""Input template, special ids and vocabulary size of the tokenizer that a cell was built with."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from data_prep.shards.template import InputTemplate


@dataclass(frozen=True)
class Tokens:
    """The part of a manifest's tokenizer record that batches are made with."""

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
        """Ids that never replace a masked token, sorted: the special ones and the unknown word."""
        return tuple(sorted({*self.special, self.unk_id}))


def tokens_of(tokenizer: Any) -> Tokens:
    """Tokens of a manifest's `tokenizer` record."""
    return Tokens(**{f.name: getattr(tokenizer, f.name) for f in fields(Tokens)})
