"""Encoder families: one file each, and the one dict that names them."""

from __future__ import annotations

from trainer.model.encoders import xlm_roberta
from trainer.model.encoders.family import Family

FAMILIES: dict[str, Family] = {
    "xlm-roberta": xlm_roberta.FAMILY,
}
RANDOM = FAMILIES["xlm-roberta"]
"""Family of models with random weights."""

__all__ = ["FAMILIES", "RANDOM", "Family"]
