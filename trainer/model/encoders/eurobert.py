"""EuroBERT (Boizard et al. 2025, arXiv 2503.05500): 210m, 610m and 2.1B.

Llama's blocks with attention in both directions: RMSNorm before each part and after the last layer, grouped queries,
rotary positions; no token types. Its only dropout is that of attention weights. Shapes: B batch, L length, H width.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasChoices, Field, model_validator
from torch import Tensor

from trainer.kinds.batch import Batch
from trainer.model.encoders import bert, rotary, xlm_roberta
from trainer.model.encoders.family import Family, Head, TokenId
from trainer.settings import Share

WORD_TABLE = "embed_tokens.weight"


class Bounds(rotary.RopeBounds):
    """Bounds of a EuroBERT configuration."""

    num_attention_heads: int = Field(ge=1, le=1000)
    num_key_value_heads: int | None = Field(default=None, ge=1, le=1000)
    head_dim: int | None = Field(default=None, ge=2, le=2**16)
    intermediate_size: int = Field(ge=1, le=2**18)
    max_position_embeddings: int = Field(default=8192, ge=3, le=2**20)
    hidden_act: Literal["silu", "gelu", "gelu_new", "relu"] = "silu"
    rms_norm_eps: float = Field(default=1e-5, ge=1e-30, le=1)  # padding's zeros are normalised, too
    initializer_range: float = Field(default=0.02, gt=0, le=10)
    attention_dropout: Share = 0.0
    attention_bias: bool = False
    mlp_bias: bool = False
    # The code on the hub has the second name, which transformers would pass over.
    classifier_pooling: Literal["bos", "mean", "late"] = Field(
        default="late", validation_alias=AliasChoices("classifier_pooling", "clf_pooling"))
    bos_token_id: TokenId | None = None
    eos_token_id: TokenId | None = None
    mask_token_id: TokenId | None = None
    pad_token_id: TokenId = 128001
    tie_word_embeddings: bool = False

    @model_validator(mode="after")
    def _agree(self) -> Bounds:
        heads, shared, size = self.num_attention_heads, key_value_heads(self), head_size(self)
        if self.hidden_size % heads or heads % shared or size % 2 or self.pad_token_id >= self.vocab_size:
            raise ValueError(f"settings contradict each other: width {self.hidden_size}, {heads} heads of {size}, "
                             f"{shared} of keys and values, {self.vocab_size} tokens, padding {self.pad_token_id}")
        return self


def key_value_heads(settings: Bounds) -> int:
    """Number of heads of keys and values, each of which several heads of queries share."""
    return settings.num_key_value_heads or settings.num_attention_heads


def head_size(settings: Bounds) -> int:
    """Width of a head."""
    return settings.head_dim or settings.hidden_size // settings.num_attention_heads


def _shapes(settings: Bounds) -> dict[str, tuple[int, ...]]:
    width, last = settings.hidden_size, f"layers.{settings.num_hidden_layers - 1}"
    return {
        WORD_TABLE: (settings.vocab_size, width),
        f"{last}.self_attn.q_proj.weight": (settings.num_attention_heads * head_size(settings), width),
        f"{last}.self_attn.k_proj.weight": (key_value_heads(settings) * head_size(settings), width),
        f"{last}.mlp.down_proj.weight": (width, settings.intermediate_size),
    }


def _words(encoder: Any, batch: Batch) -> Tensor:
    words_BLH: Tensor = encoder.embed_tokens(batch.input_ids)
    return words_BLH


def _run(encoder: Any, x_BLH: Tensor, batch: Batch, first: int, last: int) -> Tensor:
    x_BLH = rotary.run(encoder, x_BLH, batch, first, last)
    if first == last or last < encoder.config.num_hidden_layers:
        return x_BLH
    normed_BLH: Tensor = encoder.norm(x_BLH)
    return normed_BLH


def _classify(model: Any, hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(B, C) logits: dense, GELU, linear, of the first token ("bos"), of the mean over tokens ("mean"), or of every
    token and then averaged ("late")."""
    mask_BL1 = batch.attention_mask.unsqueeze(-1)

    def mean(x: Tensor) -> Tensor:
        return (x * mask_BL1).sum(dim=1) / mask_BL1.sum(dim=1)

    pooling = model.config.classifier_pooling
    x = hidden_BLH[:, 0] if pooling == "bos" else mean(hidden_BLH) if pooling == "mean" else hidden_BLH
    logits: Tensor = model.classifier(model.activation(model.dense(x)))
    return mean(logits) if pooling == "late" else logits


def _classify_tokens(model: Any, hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(B, L, C) logits: linear."""
    logits: Tensor = model.classifier(hidden_BLH)
    return logits


FAMILY = Family(
    model_type="eurobert",
    prefix="model.",
    layers="layers.",
    heads={
        "AutoModelForSequenceClassification": Head(_classify, "classifier"),
        "AutoModelForMultipleChoice": Head(
            _classify, "classifier", auto_class="AutoModelForSequenceClassification"),
        "AutoModelForTokenClassification": Head(_classify_tokens, "classifier"),
        "AutoModelForQuestionAnswering": Head(
            _classify_tokens, "classifier", auto_class="AutoModelForTokenClassification"),
        "AutoModelForMaskedLM": Head(xlm_roberta.score_words, "lm_head"),
    },
    config_bounds=Bounds,
    sizes={"tiny": bert.shape(64, 2, 4, 128) | {"num_key_value_heads": 2}, "base": bert.shape(768, 12, 12, 3072)},
    random_settings=lambda max_length, pad_id: {
        "max_position_embeddings": max(512, max_length), "rope_theta": 250_000.0},
    identity=(
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
        "intermediate_size", "max_position_embeddings", "hidden_act", "rms_norm_eps", "rope_parameters",
        "initializer_range", "pad_token_id", "attention_bias", "mlp_bias", "classifier_pooling",
        "tie_word_embeddings"),
    dropouts={"attention": "attention_dropout"},
    max_length=lambda config: config.max_position_embeddings,
    token_types=lambda config: None,
    shapes=_shapes,
    words=_words,
    embed=lambda encoder, words_BLH, batch: words_BLH,
    run=_run,
)
