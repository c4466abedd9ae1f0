"""BERT (Devlin et al. 2019, arXiv 1810.04805): mBERT, LaBSE, Multilingual-MiniLM, multilingual-e5-small.

Absolute positions from 0 on, token types, a pooler below the classifier. The tokenizer may be of any sort; some of
these models have XLM-R's. Shapes: B batch, L length, H width.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator
from torch import Tensor
from transformers.masking_utils import create_bidirectional_mask

from trainer.kinds.batch import Batch
from trainer.model.encoders.family import ConfigBounds, Family, Head, TokenId
from trainer.settings import Share

WORD_TABLE = "embeddings.word_embeddings.weight"
POSITION_TABLE = "embeddings.position_embeddings.weight"
IDENTITY = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings", "type_vocab_size", "hidden_act", "layer_norm_eps", "initializer_range", "pad_token_id",
    "tie_word_embeddings")


class Bounds(ConfigBounds):
    """Bounds of a BERT configuration."""

    num_attention_heads: int = Field(ge=1, le=1000)
    intermediate_size: int = Field(ge=1, le=2**18)
    max_position_embeddings: int = Field(ge=3, le=2**20)
    type_vocab_size: int = Field(ge=1, le=100)
    hidden_act: Literal["gelu", "gelu_new", "relu", "silu"] = "gelu"
    layer_norm_eps: float = Field(default=1e-12, gt=0, le=1)
    initializer_range: float = Field(default=0.02, gt=0, le=10)
    hidden_dropout_prob: Share = 0.1
    attention_probs_dropout_prob: Share = 0.1
    classifier_dropout: Share | None = None
    pad_token_id: TokenId = 0
    tie_word_embeddings: bool = True
    # Attention to the tokens before only, or to another model's: not an encoder.
    is_decoder: Literal[False] = Field(default=False, exclude=True)
    add_cross_attention: Literal[False] = Field(default=False, exclude=True)

    @model_validator(mode="after")
    def _agree(self) -> Bounds:
        if self.hidden_size % self.num_attention_heads or self.pad_token_id >= self.vocab_size:
            raise ValueError(f"settings contradict each other: width {self.hidden_size}, {self.num_attention_heads} "
                             f"heads, {self.vocab_size} tokens, padding {self.pad_token_id}")
        return self


def shape(hidden: int, layers: int, heads: int, intermediate: int) -> dict[str, int]:
    """Settings of one size."""
    return {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
            "intermediate_size": intermediate}


def shapes(settings: Any) -> dict[str, tuple[int, ...]]:
    """As in `Family`."""
    width, last = settings.hidden_size, settings.num_hidden_layers - 1
    return {
        WORD_TABLE: (settings.vocab_size, width),
        POSITION_TABLE: (settings.max_position_embeddings, width),
        f"encoder.layer.{last}.intermediate.dense.weight": (settings.intermediate_size, width),
    }


def words(encoder: Any, batch: Batch) -> Tensor:
    """As in `Family`."""
    words_BLH: Tensor = encoder.embeddings.word_embeddings(batch.input_ids)
    return words_BLH


def run(encoder: Any, x_BLH: Tensor, batch: Batch, first: int, last: int) -> Tensor:
    """As in `Family`: the norm is inside the layers."""
    if first == last:
        return x_BLH
    mask = create_bidirectional_mask(
        config=encoder.config, inputs_embeds=x_BLH, attention_mask=batch.attention_mask)
    for layer in encoder.encoder.layer[first:last]:
        x_BLH = layer(x_BLH, mask)
    return x_BLH


def classify_tokens(model: Any, hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(B, L, C) logits: dropout, linear."""
    logits: Tensor = model.classifier(model.dropout(hidden_BLH))
    return logits


def find_spans(model: Any, hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(B, L, 2) logits of start and end."""
    logits: Tensor = model.qa_outputs(hidden_BLH)
    return logits


def _embed(encoder: Any, words_BLH: Tensor, batch: Batch) -> Tensor:
    block: Tensor = encoder.embeddings(inputs_embeds=words_BLH, token_type_ids=batch.token_types)
    return block


def classify_pooled(model: Any, hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(B, C) logits from the pooled first token: dense, tanh, dropout, linear."""
    logits: Tensor = model.classifier(model.dropout(model.base_model.pooler(hidden_BLH)))
    return logits


def _score_words(model: Any, hidden_PH: Tensor, batch: Batch) -> Tensor:
    logits: Tensor = model.cls(hidden_PH)
    return logits


FAMILY = Family(
    model_type="bert",
    prefix="bert.",
    layers="encoder.layer.",
    heads={
        "AutoModelForSequenceClassification": Head(
            classify_pooled, "classifier", dropout="classifier_dropout", inside_encoder=("pooler.",)),
        "AutoModelForMultipleChoice": Head(
            classify_pooled, "classifier", dropout="classifier_dropout", inside_encoder=("pooler.",)),
        "AutoModelForTokenClassification": Head(classify_tokens, "classifier", dropout="classifier_dropout"),
        "AutoModelForQuestionAnswering": Head(find_spans, "qa_outputs"),
        "AutoModelForMaskedLM": Head(_score_words, "cls.predictions.decoder"),
    },
    config_bounds=Bounds,
    sizes={"tiny": shape(64, 2, 4, 128), "base": shape(768, 12, 12, 3072), "large": shape(1024, 24, 16, 4096)},
    random_settings=lambda max_length, pad_id: {"max_position_embeddings": max(512, max_length)},
    identity=IDENTITY,
    dropouts={"hidden": "hidden_dropout_prob", "attention": "attention_probs_dropout_prob"},
    max_length=lambda config: config.max_position_embeddings,
    token_types=lambda config: config.type_vocab_size,
    shapes=shapes,
    words=words,
    embed=_embed,
    run=run,
)
