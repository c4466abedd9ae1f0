"""XLM-R (Conneau et al. 2020, arXiv 1911.02116): BERT's blocks, RoBERTa's heads, a multilingual vocabulary.

Absolute positions are counted from padding id + 1 on. Shapes: B batch, L length, H width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trainer.kinds.batch import Batch
from trainer.model.encoders import bert
from trainer.model.encoders.family import Family, Head, TokenId

PREFIX = "roberta."
# Weights of a masked language model with one row, or entry, per token. The head's matrix is tied to the word table and
# so usually not in the file.
EMBEDDINGS = PREFIX + bert.WORD_TABLE
TOKEN_ROWS = (EMBEDDINGS, "lm_head.decoder.weight")
TOKEN_BIASES = ("lm_head.bias", "lm_head.decoder.bias")


class Bounds(bert.Bounds):
    """Bounds of an XLM-R configuration."""

    pad_token_id: TokenId = 1
    bos_token_id: TokenId = 0
    eos_token_id: TokenId = 2


def random_settings(max_length: int, pad_id: int) -> dict[str, Any]:
    """As in `Family`."""
    return {"type_vocab_size": 1, "layer_norm_eps": 1e-5, "max_position_embeddings": max(514, max_length + pad_id + 1)}


def positions(batch: Batch, pad_id: int) -> Tensor:
    """(B, L) positions: padding id + 1, + 2, ... on tokens, the padding id on padding.

    Given to transformers, which would derive them from `inputs_embeds` and count padding.
    """
    length = batch.input_ids.shape[1]
    counted = torch.arange(pad_id + 1, pad_id + 1 + length, device=batch.input_ids.device)
    return torch.where(batch.attention_mask, counted, pad_id)


def _embed(encoder: Any, words_BLH: Tensor, batch: Batch) -> Tensor:
    block: Tensor = encoder.embeddings(inputs_embeds=words_BLH, token_type_ids=batch.token_types,
                                       position_ids=positions(batch, encoder.config.pad_token_id))
    return block


def classify(model: Any, hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(B, C) logits from the first token: dense, tanh, linear."""
    logits: Tensor = model.classifier(hidden_BLH)
    return logits


def score_words(model: Any, hidden_PH: Tensor, batch: Batch) -> Tensor:
    """(P, V) logits."""
    logits: Tensor = model.lm_head(hidden_PH)
    return logits


HEADS = {
    "AutoModelForSequenceClassification": Head(classify, "classifier.out_proj", dropout="classifier_dropout"),
    "AutoModelForMultipleChoice": Head(bert.classify_pooled, "classifier", inside_encoder=("pooler.",)),
    "AutoModelForTokenClassification": Head(bert.classify_tokens, "classifier", dropout="classifier_dropout"),
    "AutoModelForQuestionAnswering": Head(bert.find_spans, "qa_outputs"),
    "AutoModelForMaskedLM": Head(score_words, "lm_head.decoder"),
}
FAMILY = Family(
    model_type="xlm-roberta",
    prefix=PREFIX,
    layers="encoder.layer.",
    heads=HEADS,
    config_bounds=Bounds,
    sizes=bert.FAMILY.sizes,
    random_settings=random_settings,
    identity=bert.IDENTITY,
    dropouts=bert.FAMILY.dropouts,
    max_length=lambda config: config.max_position_embeddings - config.pad_token_id - 1,
    token_types=lambda config: config.type_vocab_size,
    shapes=bert.shapes,
    words=bert.words,
    embed=_embed,
    run=bert.run,
)
