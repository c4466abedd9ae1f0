"""Rotary positions (Su et al. 2021, arXiv 2104.09864): their settings, and encoders whose layers share them.

Shapes: B batch, L length, H width.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from transformers.masking_utils import create_bidirectional_mask

from trainer.kinds.batch import Batch
from trainer.model.encoders.family import ConfigBounds


class Rope(BaseModel):
    """Frequencies theta^(-2i/d), which "linear" divides by `factor`.

    Other types of transformers are refused: no published encoder has them, and "dynamic" ones change with the input.
    """

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    rope_type: Literal["default", "linear"] = Field(
        default="default", validation_alias=AliasChoices("rope_type", "type"))
    rope_theta: float | None = Field(default=None, ge=1, le=1e9)
    factor: float | None = Field(default=None, ge=1, le=1e4)

    @model_validator(mode="after")
    def _complete(self) -> Rope:
        if self.rope_type == "linear" and self.factor is None:
            raise ValueError("linear frequencies without a factor")
        return self


class RopeBounds(ConfigBounds):
    """Bounds of a configuration with one set of rotary frequencies; those of before transformers 5 have the last two.

    transformers merges them.
    """

    rope_parameters: Rope | None = None
    rope_scaling: Rope | None = None
    rope_theta: float | None = Field(default=None, ge=1, le=1e9)


def run(encoder: Any, x_BLH: Tensor, batch: Batch, first: int, last: int) -> Tensor:
    """As in `Family`, without a norm after the last layer."""
    if first == last:
        return x_BLH
    mask = create_bidirectional_mask(
        config=encoder.config, inputs_embeds=x_BLH, attention_mask=batch.attention_mask)
    cos_sin = encoder.rotary_emb(x_BLH, torch.arange(x_BLH.shape[1], device=x_BLH.device)[None])
    for layer in encoder.layers[first:last]:
        x_BLH = layer(x_BLH, attention_mask=mask, position_embeddings=cos_sin)
    return x_BLH
