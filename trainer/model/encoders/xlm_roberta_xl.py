"""XLM-R XL (Goyal et al. 2021, arXiv 2105.00572): XLM-R with pre-norm layers and a norm after the last one.

Embeddings are not normalised. The published model has 250,880 word vectors for the 250,002 pieces of XLM-R's
tokenizer. Shapes: B batch, L length, H width.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field
from torch import Tensor

from trainer.kinds.batch import Batch
from trainer.model.encoders import bert, xlm_roberta


class Bounds(xlm_roberta.Bounds):
    """Bounds of an XLM-R XL configuration."""

    layer_norm_eps: float = Field(default=1e-5, gt=0, le=1)


def run(encoder: Any, x_BLH: Tensor, batch: Batch, first: int, last: int) -> Tensor:
    """As in `Family`: the norm is after the last layer."""
    layers, norm = encoder.encoder.layer, encoder.encoder.LayerNorm
    ran = bert.run(encoder, x_BLH, batch, first, last)
    return norm(ran) if first < last == len(layers) else ran


FAMILY = replace(
    xlm_roberta.FAMILY,
    model_type="xlm-roberta-xl",
    config_bounds=Bounds,
    sizes={"tiny": bert.shape(64, 2, 4, 128), "base": bert.shape(768, 12, 12, 3072),
           "large": bert.shape(2560, 36, 32, 10240)},
    run=run,
)
