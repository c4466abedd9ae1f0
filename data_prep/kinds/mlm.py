"""Unlabelled text for masked language modelling: one segment, or two that are read together; never a label."""

from __future__ import annotations

from tokenizers import Tokenizer

from data_prep.kinds.segments import Encoded, encode_rows
from data_prep.shards.template import InputTemplate
from data_prep.sources.reading import NO_LABEL, TextBatch


def encode(batch: TextBatch, tokenizer: Tokenizer, max_length: int, template: InputTemplate) -> Encoded:
    """Ids of each line (masking is the trainer's, done anew in every epoch)."""
    return encode_rows(tokenizer, batch.ids, batch.first, batch.second, [NO_LABEL] * len(batch), max_length, template)
