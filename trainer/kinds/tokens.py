"""Input template, special ids and vocabulary size of the tokenizer that a cell was built with."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from data_prep.shards.template import InputTemplate


@dataclass(frozen=True)
class Tokens:
    """The part of a manifest's tokenizer record that batches are made with; tokens that it lacks are None."""

    template: InputTemplate
    pad_id: int
    mask_id: int | None
    unk_id: int | None
    vocab_size: int

    @cached_property
    def special(self) -> tuple[int, ...]:
        """Ids that are never perturbed and never masked; unknown words are content."""
        mask = [] if self.mask_id is None else [self.mask_id]
        return (*self.template.special_ids, self.pad_id, *mask)

    @cached_property
    def not_words(self) -> tuple[int, ...]:
        """Ids that never replace a masked token, sorted: the special ones and the unknown word."""
        unknown = set() if self.unk_id is None else {self.unk_id}
        return tuple(sorted({*self.special, *unknown}))


def tokens_of(tokenizer: Any) -> Tokens:
    """Tokens of a manifest's `tokenizer` record."""
    return Tokens(**{f.name: getattr(tokenizer, f.name) for f in fields(Tokens)})
