"""XLM-R (Conneau et al. 2020, arXiv 1911.02116): RoBERTa's encoder with a multilingual vocabulary.

Absolute positions are counted from padding id + 1 on. Shapes: B batch, L length, H width.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from transformers.masking_utils import create_bidirectional_mask

from trainer.kinds.batch import Batch
from trainer.model.encoders.family import ConfigBounds, Family, Head, TokenId
from trainer.settings import Share

PREFIX = "roberta."
WORD_TABLE = "embeddings.word_embeddings.weight"
# Weights of a masked language model with one row, or entry, per token. The head's matrix is tied to the word table and
# so usually not in the file.
EMBEDDINGS = PREFIX + WORD_TABLE
TOKEN_ROWS = (EMBEDDINGS, "lm_head.decoder.weight")
TOKEN_BIASES = ("lm_head.bias", "lm_head.decoder.bias")


class Bounds(ConfigBounds):
    """Bounds of an XLM-R configuration."""

    num_attention_heads: int = Field(ge=1, le=1000)
    intermediate_size: int = Field(ge=1, le=2**18)
    max_position_embeddings: int = Field(ge=3, le=2**20)
    type_vocab_size: int = Field(ge=1, le=100)
    hidden_act: Literal["gelu", "gelu_new", "relu", "silu"] = "gelu"
    layer_norm_eps: float = Field(default=1e-5, gt=0, le=1)
    initializer_range: float = Field(default=0.02, gt=0, le=10)
    hidden_dropout_prob: Share = 0.1
    attention_probs_dropout_prob: Share = 0.1
    classifier_dropout: Share | None = None
    pad_token_id: TokenId = 1
    bos_token_id: TokenId = 0
    eos_token_id: TokenId = 2
    tie_word_embeddings: bool = True

    @model_validator(mode="after")
    def _agree(self) -> Bounds:
        if self.hidden_size % self.num_attention_heads or self.pad_token_id >= self.vocab_size:
            raise ValueError(f"settings contradict each other: width {self.hidden_size}, {self.num_attention_heads} "
                             f"heads, {self.vocab_size} tokens, padding {self.pad_token_id}")
        return self


def _shape(hidden: int, layers: int, heads: int, intermediate: int) -> dict[str, int]:
    return {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
            "intermediate_size": intermediate}


def _random_settings(max_length: int, pad_id: int) -> dict[str, Any]:
    return {"type_vocab_size": 1, "layer_norm_eps": 1e-5, "max_position_embeddings": max(514, max_length + pad_id + 1)}


def _shapes(settings: Bounds) -> dict[str, tuple[int, ...]]:
    width, last = settings.hidden_size, settings.num_hidden_layers - 1
    return {
        WORD_TABLE: (settings.vocab_size, width),
        "embeddings.position_embeddings.weight": (settings.max_position_embeddings, width),
        f"encoder.layer.{last}.intermediate.dense.weight": (settings.intermediate_size, width),
    }


def _words(encoder: Any, batch: Batch) -> Tensor:
    words: Tensor = encoder.embeddings.word_embeddings(batch.input_ids)
    return words


def _embed(encoder: Any, words_BLH: Tensor, batch: Batch) -> Tensor:
    pad_id: int = encoder.config.pad_token_id
    positions = torch.arange(pad_id + 1, pad_id + 1 + words_BLH.shape[1], device=words_BLH.device)
    # Given, since transformers, which would derive them from `inputs_embeds`, would count padding.
    positions_BL = torch.where(batch.attention_mask, positions, pad_id)
    block: Tensor = encoder.embeddings(inputs_embeds=words_BLH, position_ids=positions_BL)
    return block


def _run(encoder: Any, x_BLH: Tensor, batch: Batch, first: int, last: int) -> Tensor:
    if first == last:
        return x_BLH
    mask = create_bidirectional_mask(
        config=encoder.config, inputs_embeds=x_BLH, attention_mask=batch.attention_mask)
    for layer in encoder.encoder.layer[first:last]:
        x_BLH = layer(x_BLH, mask)
    return x_BLH


def _classify(model: Any, hidden_BLH: Tensor) -> Tensor:
    """(B, C) logits from the first token: dense, tanh, linear."""
    logits: Tensor = model.classifier(hidden_BLH)
    return logits


def _score_words(model: Any, hidden_PH: Tensor) -> Tensor:
    logits: Tensor = model.lm_head(hidden_PH)
    return logits


FAMILY = Family(
    model_type="xlm-roberta",
    prefix=PREFIX,
    layers="encoder.layer.",
    heads={
        "AutoModelForSequenceClassification": Head(_classify, "classifier.out_proj", dropout="classifier_dropout"),
        "AutoModelForMaskedLM": Head(_score_words, "lm_head.decoder"),
    },
    config_bounds=Bounds,
    sizes={"tiny": _shape(64, 2, 4, 128), "base": _shape(768, 12, 12, 3072), "large": _shape(1024, 24, 16, 4096)},
    random_settings=_random_settings,
    identity=(
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
        "max_position_embeddings", "type_vocab_size", "hidden_act", "layer_norm_eps", "initializer_range",
        "pad_token_id", "tie_word_embeddings"),
    dropouts={"hidden": "hidden_dropout_prob", "attention": "attention_probs_dropout_prob"},
    max_length=lambda config: config.max_position_embeddings - config.pad_token_id - 1,
    shapes=_shapes,
    words=_words,
    embed=_embed,
    run=_run,
)
