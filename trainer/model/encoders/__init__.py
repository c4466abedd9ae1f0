"""Encoder families: one file each, and the one dict that names them."""

from __future__ import annotations

from trainer.model.encoders import bert, deberta_v2, eurobert, gte, modernbert, xlm, xlm_roberta, xlm_roberta_xl
from trainer.model.encoders.family import Family

FAMILIES: dict[str, Family] = {
    "xlm-roberta": xlm_roberta.FAMILY,
    "xlm-roberta-xl": xlm_roberta_xl.FAMILY,
    "bert": bert.FAMILY,
    "deberta-v2": deberta_v2.FAMILY,
    "modernbert": modernbert.FAMILY,
    "eurobert": eurobert.FAMILY,
    "gte": gte.FAMILY,
    "xlm": xlm.FAMILY,
}
RANDOM = FAMILIES["xlm-roberta"]
"""Family of models with random weights, unless a recipe names another."""

__all__ = ["FAMILIES", "RANDOM", "Family"]
