"""ModernBERT (Warner et al. 2024, arXiv 2412.13663): mmBERT (Marone et al. 2025, arXiv 2509.06888).

Rotary positions, no token types, layers of global attention among layers with a local window, a norm after the last
layer. The head of a pre-trained model is a dense layer and a norm, which transformers loads below every task's output
layer. Shapes: B batch, L length, H width.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from transformers.masking_utils import create_bidirectional_mask, create_bidirectional_sliding_window_mask

from trainer.kinds.batch import Batch
from trainer.model.encoders import bert
from trainer.model.encoders.family import ConfigBounds, Family, Head, TokenId
from trainer.settings import Share

WORD_TABLE = "embeddings.tok_embeddings.weight"
MASKS = {"full_attention": create_bidirectional_mask, "sliding_attention": create_bidirectional_sliding_window_mask}
Activation = Literal["gelu", "gelu_new", "relu", "silu", "tanh"]
Attention = Literal["full_attention", "sliding_attention"]
Theta = Annotated[float, Field(gt=1, le=1e12)]
IDENTITY = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings", "hidden_activation", "norm_eps", "norm_bias", "initializer_range",
    "initializer_cutoff_factor", "pad_token_id", "attention_bias", "mlp_bias", "decoder_bias", "layer_types",
    "local_attention", "rope_parameters", "classifier_pooling", "classifier_bias", "classifier_activation",
    "tie_word_embeddings")


class Rotary(BaseModel):
    """Rotary positions of one type of layers."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    rope_type: Literal["default"] = "default"
    rope_theta: Theta | None = None


class Rotaries(BaseModel):
    """Rotary positions as transformers 5 saves them."""

    model_config = ConfigDict(extra="forbid")

    full_attention: Rotary | None = None
    sliding_attention: Rotary | None = None


class Bounds(ConfigBounds):
    """Bounds of a ModernBERT configuration; transformers 4 wrote `*_rope_theta` and `global_attn_every_n_layers`."""

    num_attention_heads: int = Field(ge=1, le=1000)
    intermediate_size: int = Field(ge=1, le=2**18)
    max_position_embeddings: int = Field(default=8192, ge=3, le=2**20)
    hidden_activation: Activation = "gelu"
    norm_eps: float = Field(default=1e-5, ge=1e-30, le=1)  # padding's zeros are normalised, too
    norm_bias: bool = False
    initializer_range: float = Field(default=0.02, gt=0, le=10)
    initializer_cutoff_factor: float = Field(default=2.0, gt=0, le=100)
    attention_bias: bool = False
    mlp_bias: bool = False
    decoder_bias: bool = True
    classifier_bias: bool = False
    classifier_activation: Activation = "gelu"
    classifier_pooling: Literal["cls", "mean"] = "cls"
    embedding_dropout: Share = 0.0
    attention_dropout: Share = 0.0
    mlp_dropout: Share = 0.0
    classifier_dropout: Share = 0.0
    local_attention: int = Field(default=128, ge=2, le=2**20)
    layer_types: list[Attention] | None = None
    global_attn_every_n_layers: int = Field(default=3, ge=1, le=1000)
    rope_parameters: Rotaries | None = None
    global_rope_theta: Theta = 160_000.0
    local_rope_theta: Theta = 10_000.0
    rope_scaling: None = None
    deterministic_flash_attn: bool = False
    sparse_prediction: bool = False  # concerns transformers' own loss only
    sparse_pred_ignore_index: int = Field(default=-100, ge=-(2**24), le=2**24)
    pad_token_id: TokenId
    bos_token_id: TokenId | None = None
    eos_token_id: TokenId | None = None
    cls_token_id: TokenId | None = None
    sep_token_id: TokenId | None = None
    tie_word_embeddings: bool = True

    @model_validator(mode="after")
    def _agree(self) -> Bounds:
        if self.hidden_size % (2 * self.num_attention_heads) or self.pad_token_id >= self.vocab_size:
            raise ValueError(f"settings contradict each other: width {self.hidden_size}, {self.num_attention_heads} "
                             f"heads of even width, {self.vocab_size} tokens, padding {self.pad_token_id}")
        if self.layer_types is not None and len(self.layer_types) != self.num_hidden_layers:
            raise ValueError(f"layer_types names {len(self.layer_types)} of {self.num_hidden_layers} layers")
        return self


def _shapes(settings: Bounds) -> dict[str, tuple[int, ...]]:
    width, last = settings.hidden_size, settings.num_hidden_layers - 1
    return {WORD_TABLE: (settings.vocab_size, width),
            f"layers.{last}.mlp.Wi.weight": (2 * settings.intermediate_size, width)}


def _words(encoder: Any, batch: Batch) -> Tensor:
    words_BLH: Tensor = encoder.embeddings.tok_embeddings(batch.input_ids)
    return words_BLH


def _embed(encoder: Any, words_BLH: Tensor, batch: Batch) -> Tensor:
    block: Tensor = encoder.embeddings(inputs_embeds=words_BLH)
    return block


def _run(encoder: Any, x_BLH: Tensor, batch: Batch, first: int, last: int) -> Tensor:
    """As in `Family`."""
    if first == last:
        return x_BLH
    positions = torch.arange(x_BLH.shape[1], device=x_BLH.device).unsqueeze(0)
    masks, rotations = {}, {}
    for kind in set(encoder.config.layer_types[first:last]):
        masks[kind] = MASKS[kind](config=encoder.config, inputs_embeds=x_BLH, attention_mask=batch.attention_mask)
        rotations[kind] = encoder.rotary_emb(x_BLH, positions, kind)
    for layer in encoder.layers[first:last]:
        kind = layer.attention_type
        x_BLH = layer(x_BLH, attention_mask=masks[kind], position_embeddings=rotations[kind])
    if last == encoder.config.num_hidden_layers:
        x_BLH = encoder.final_norm(x_BLH)
    return x_BLH


def _classify(model: Any, hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(B, C) logits from the first token or the mean of all: dense, activation, norm, dropout, linear."""
    if model.config.classifier_pooling == "mean":
        mask_BL1 = batch.attention_mask.unsqueeze(-1)
        return _classify_tokens(model, (hidden_BLH * mask_BL1).sum(dim=1) / mask_BL1.sum(dim=1), batch)
    return _classify_tokens(model, hidden_BLH[:, 0], batch)


def _classify_tokens(model: Any, hidden: Tensor, batch: Batch) -> Tensor:
    """(..., C) logits: dense, activation, norm, dropout, linear."""
    logits: Tensor = model.classifier(model.drop(model.head(hidden)))
    return logits


def _score_words(model: Any, hidden_PH: Tensor, batch: Batch) -> Tensor:
    logits: Tensor = model.decoder(model.head(hidden_PH))
    return logits


FAMILY = Family(
    model_type="modernbert",
    prefix="model.",
    layers="layers.",
    heads={
        "AutoModelForSequenceClassification": Head(_classify, "classifier", dropout="classifier_dropout"),
        "AutoModelForMultipleChoice": Head(_classify, "classifier", dropout="classifier_dropout"),
        "AutoModelForTokenClassification": Head(_classify_tokens, "classifier", dropout="classifier_dropout"),
        "AutoModelForQuestionAnswering": Head(_classify_tokens, "classifier", dropout="classifier_dropout"),
        "AutoModelForMaskedLM": Head(_score_words, "decoder"),
    },
    config_bounds=Bounds,
    sizes={
        "tiny": {**bert.shape(64, 2, 4, 96), "local_attention": 8},
        "small": bert.shape(384, 22, 6, 1152),
        "base": bert.shape(768, 22, 12, 1152),
    },
    # transformers' own token ids are those of a vocabulary of 50,368.
    random_settings=lambda max_length, pad_id: {
        "max_position_embeddings": max(512, max_length),
        **dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"))},
    identity=IDENTITY,
    dropouts={"mlp": "mlp_dropout", "attention": "attention_dropout", "embeddings": "embedding_dropout"},
    max_length=lambda config: config.max_position_embeddings,
    token_types=lambda config: None,
    pretrained_head=("head.",),
    shapes=_shapes,
    words=_words,
    embed=_embed,
    run=_run,
)
