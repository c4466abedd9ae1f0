"""GTE (Zhang et al. 2024, arXiv 2407.19669): gte-multilingual-base and -mlm-base, snowflake-arctic-embed-m-v2.0.

BERT's embeddings and heads, gated feed-forward parts, rotary positions. The first checkpoints were published with code
of their own (type "new", which is refused); transformers has the architecture as "gte", and translates their weights.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field, model_validator

from trainer.model.encoders import bert, rotary, xlm_roberta
from trainer.model.encoders.family import Family, Head, TokenId
from trainer.settings import Share


class Bounds(bert.Bounds, rotary.RopeBounds):
    """Bounds of a GTE configuration. Variants that only the code on the hub has are refused."""

    max_position_embeddings: int = Field(default=8192, ge=3, le=2**20)
    type_vocab_size: int = Field(default=1, ge=0, le=100)
    attention_probs_dropout_prob: Share = 0.0
    pad_token_id: TokenId = 1
    position_embedding_type: Literal["rope"] = Field(default="rope", exclude=True)
    layer_norm_type: Literal["layer_norm"] = Field(default="layer_norm", exclude=True)
    logn_attention_scale: Literal[False] = Field(default=False, exclude=True)

    @model_validator(mode="after")
    def _pairs(self) -> Bounds:
        if self.hidden_size // self.num_attention_heads % 2:
            raise ValueError(f"heads of odd width: width {self.hidden_size}, {self.num_attention_heads} heads")
        return self


def _shapes(settings: Bounds) -> dict[str, tuple[int, ...]]:
    return {
        bert.WORD_TABLE: (settings.vocab_size, settings.hidden_size),
        f"layers.{settings.num_hidden_layers - 1}.mlp.down_proj.weight": (
            settings.hidden_size, settings.intermediate_size),
    }


FAMILY = Family(
    model_type="gte",
    prefix="gte.",
    layers="layers.",
    heads={
        **{name: bert.FAMILY.heads[name] for name in (
            "AutoModelForSequenceClassification", "AutoModelForTokenClassification")},
        "AutoModelForMultipleChoice": replace(
            bert.FAMILY.heads["AutoModelForSequenceClassification"], auto_class="AutoModelForSequenceClassification"),
        "AutoModelForQuestionAnswering": replace(
            bert.FAMILY.heads["AutoModelForTokenClassification"], auto_class="AutoModelForTokenClassification"),
        "AutoModelForMaskedLM": Head(xlm_roberta.score_words, "lm_head.decoder"),
    },
    config_bounds=Bounds,
    sizes=bert.FAMILY.sizes,
    random_settings=bert.FAMILY.random_settings,
    identity=(*bert.IDENTITY, "rope_parameters"),
    dropouts=bert.FAMILY.dropouts,
    max_length=bert.FAMILY.max_length,
    token_types=lambda config: config.type_vocab_size or None,
    shapes=_shapes,
    words=bert.words,
    embed=bert.FAMILY.embed,
    run=rotary.run,
)
