"""DeBERTa-v2 and -v3 (He et al. 2021, arXiv 2006.03654 and 2111.09543): mDeBERTa-v3.

Attention adds scores of content to position and of position to content, with relative distances in logarithmic
buckets; it is eager only. The mask is multiplied into the embeddings. Shapes: B batch, L length, H width.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from torch import Tensor

from trainer.kinds.batch import Batch
from trainer.model.encoders import bert
from trainer.model.encoders.family import ConfigBounds, Family, Head, TokenId
from trainer.settings import Share

Activation = Literal["gelu", "gelu_new", "relu", "silu", "tanh"]
IDENTITY = (
    *bert.IDENTITY, "relative_attention", "position_buckets", "max_relative_positions", "pos_att_type", "norm_rel_ebd",
    "share_att_key", "position_biased_input", "conv_kernel_size", "conv_groups", "conv_act", "pooler_hidden_act",
    "legacy")


class Bounds(ConfigBounds):
    """Bounds of a DeBERTa-v2 configuration."""

    num_attention_heads: int = Field(ge=1, le=1000)
    intermediate_size: int = Field(ge=1, le=2**18)
    max_position_embeddings: int = Field(default=512, ge=3, le=2**20)
    type_vocab_size: int = Field(default=0, ge=0, le=100)
    hidden_act: Activation = "gelu"
    layer_norm_eps: float = Field(default=1e-7, ge=1e-30, le=1)  # padding's zeros are normalised, too
    initializer_range: float = Field(default=0.02, gt=0, le=10)
    hidden_dropout_prob: Share = 0.1
    attention_probs_dropout_prob: Share = 0.1
    pad_token_id: TokenId = 0
    tie_word_embeddings: bool = True
    relative_attention: bool = False
    position_buckets: int = Field(default=-1, ge=-1, le=2**20)
    max_relative_positions: int = Field(default=-1, ge=-1, le=2**20)
    pos_att_type: list[Literal["c2p", "p2c"]] = Field(default=[], max_length=2)
    norm_rel_ebd: Literal["none", "layer_norm"] = "none"
    share_att_key: bool = False
    position_biased_input: bool = True
    conv_kernel_size: int = Field(default=0, ge=0, le=99)
    conv_groups: int = Field(default=1, ge=1)
    conv_act: Activation = "tanh"
    attention_head_size: int | None = Field(default=None, ge=1)
    embedding_size: int | None = Field(default=None, ge=1)
    pooler_hidden_size: int | None = Field(default=None, ge=1)
    pooler_hidden_act: Activation = "gelu"
    pooler_dropout: Share = 0.0
    cls_dropout: Share | None = None
    # Microsoft's folders do not say; their masked language model is the one that transformers calls not legacy. Nor do
    # folders of early releases of transformers, whose one is (`told_by_weights`).
    legacy: bool = False

    @field_validator("pos_att_type", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.lower().split("|")] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _agree(self) -> Bounds:
        width, heads = self.hidden_size, self.num_attention_heads
        others = ((self.attention_head_size or width // heads) * heads, self.embedding_size or width,
                  self.pooler_hidden_size or width)
        if {*others} != {width} or self.pad_token_id >= self.vocab_size:
            raise ValueError(f"settings contradict each other: width {width}, {heads} heads, width of attention, "
                             f"embeddings and pooler {others}, {self.vocab_size} tokens, padding {self.pad_token_id}")
        if self.conv_kernel_size and (self.conv_kernel_size % 2 == 0 or width % self.conv_groups):
            raise ValueError(f"convolution of kernel {self.conv_kernel_size} and {self.conv_groups} groups; expected "
                             f"an odd kernel and groups that divide width {width}")
        buckets, farthest = self.position_buckets, _farthest(self)
        if buckets > 0 and not 1 <= buckets // 2 < farthest - 1:  # the logarithm of their ratio is a divisor
            raise ValueError(f"{buckets} buckets for relative positions up to {farthest}; expected 2 or more, and less "
                             "than twice the positions")
        return self


def _farthest(settings: Any) -> int:
    """Largest relative position, beyond which all are alike."""
    farthest: int = settings.max_relative_positions
    return farthest if farthest > 0 else int(settings.max_position_embeddings)


def _shapes(settings: Bounds) -> dict[str, tuple[int, ...]]:
    width, kernel = settings.hidden_size, settings.conv_kernel_size
    shapes = bert.shapes(settings)
    if not settings.position_biased_input:
        del shapes[bert.POSITION_TABLE]
    if settings.relative_attention:
        span = settings.position_buckets if settings.position_buckets > 0 else _farthest(settings)
        shapes["encoder.rel_embeddings.weight"] = (2 * span, width)
    if kernel:
        shapes["encoder.conv.conv.weight"] = (width, width // settings.conv_groups, kernel)
    return shapes


def _embed(encoder: Any, words_BLH: Tensor, batch: Batch) -> Tensor:
    block: Tensor = encoder.embeddings(
        inputs_embeds=words_BLH, token_type_ids=batch.token_types, mask=batch.attention_mask)
    return block


def _run(encoder: Any, x_BLH: Tensor, batch: Batch, first: int, last: int) -> Tensor:
    """As in `Family`: the convolution, if any, is part of layer 1."""
    if first == last:
        return x_BLH
    blocks = encoder.encoder
    mask = blocks.get_attention_mask(batch.attention_mask)
    positions, table = blocks.get_rel_pos(x_BLH), blocks.get_rel_embedding()
    for number, layer in enumerate(blocks.layer[first:last], start=first):
        out_BLH, _ = layer(x_BLH, mask, relative_pos=positions, rel_embeddings=table)
        if number == 0 and blocks.conv is not None:
            out_BLH = blocks.conv(x_BLH, out_BLH, batch.attention_mask.long())
        x_BLH = out_BLH
    return x_BLH


def _classify(model: Any, hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(B, C) logits from the pooled first token: dropout, dense, activation, dropout, linear."""
    logits: Tensor = model.classifier(model.dropout(model.pooler(hidden_BLH)))
    return logits


def _score_words(model: Any, hidden_PH: Tensor, batch: Batch) -> Tensor:
    """(P, V) logits, with a matrix of the head's own (legacy; usually tied) or the word table."""
    logits: Tensor = (model.cls(hidden_PH) if model.legacy
                      else model.lm_predictions(hidden_PH, model.base_model.embeddings.word_embeddings))
    return logits


def _size(hidden: int, layers: int, heads: int, intermediate: int, buckets: int) -> dict[str, int]:
    return {**bert.shape(hidden, layers, heads, intermediate), "position_buckets": buckets}


def _random_settings(max_length: int, pad_id: int) -> dict[str, Any]:
    """Settings of mDeBERTa-v3; the masked language model has an output layer of its own."""
    return {
        "max_position_embeddings": max(512, max_length), "type_vocab_size": 0, "layer_norm_eps": 1e-7,
        "relative_attention": True, "max_relative_positions": -1, "pos_att_type": ["p2c", "c2p"],
        "norm_rel_ebd": "layer_norm", "share_att_key": True, "position_biased_input": False,
        "conv_kernel_size": 0, "conv_groups": 1, "conv_act": "tanh", "cls_dropout": None, "legacy": True}


FAMILY = Family(
    model_type="deberta-v2",
    prefix="deberta.",
    layers="encoder.layer.",
    heads={
        "AutoModelForSequenceClassification": Head(_classify, "classifier", dropout="cls_dropout"),
        "AutoModelForMultipleChoice": Head(_classify, "classifier", dropout="cls_dropout"),
        "AutoModelForTokenClassification": Head(bert.classify_tokens, "classifier"),
        "AutoModelForQuestionAnswering": Head(bert.find_spans, "qa_outputs"),
        "AutoModelForMaskedLM": Head(_score_words, "cls.predictions.decoder"),
    },
    config_bounds=Bounds,
    sizes={"tiny": _size(64, 2, 4, 128, 8), "base": _size(768, 12, 12, 3072, 256)},
    random_settings=_random_settings,
    identity=IDENTITY,
    dropouts={**bert.FAMILY.dropouts, "pooler": "pooler_dropout"},
    max_length=lambda config: config.max_position_embeddings,
    token_types=lambda config: config.type_vocab_size or None,
    shapes=_shapes,
    words=bert.words,
    embed=_embed,
    run=_run,
    told_by_weights={"cls.predictions.": {"legacy": True}},
    refused_precisions={"fp16": "overflows"},
)
