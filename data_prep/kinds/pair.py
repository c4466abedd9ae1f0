"""Sentence pairs: two segments and a label."""

from __future__ import annotations

from tokenizers import Tokenizer

from data_prep.kinds.segments import Encoded, encode_rows
from data_prep.shards.template import InputTemplate
from data_prep.sources.reading import TextBatch


def encode(batch: TextBatch, tokenizer: Tokenizer, max_length: int, template: InputTemplate) -> Encoded:
    """Ids of both texts of each row and its label index."""
    return encode_rows(tokenizer, batch.ids, batch.first, batch.second, batch.labels, max_length, template)
