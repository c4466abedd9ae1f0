"""Kinds of tasks, by the name that a cell's manifest carries. To add one: a file here and a line in KINDS."""

from __future__ import annotations

from data_prep.base.errors import InputError
from trainer.kinds import mlm, multiple_choice, pair, ranking, regression, span_qa, tagging, translation_ranking
from trainer.kinds.kind import Kind, Masking

KINDS: dict[str, Kind] = {
    "pair": pair.KIND,
    "mlm": mlm.KIND,
    "span_qa": span_qa.KIND,
    "tagging": tagging.KIND,
    "regression": regression.KIND,
    "ranking": ranking.KIND,
    "multiple_choice": multiple_choice.KIND,
    "translation_ranking": translation_ranking.KIND,
}
UNTRAINED = {"retrieval": "retrieve"}
"""Kinds of `data_prep` that no model is trained for, and the commands that score models on them."""


def named_kind(name: str) -> Kind:
    """The kind called `name`. Raises InputError if there is none."""
    if name in UNTRAINED:
        raise InputError(f"kind {name!r} is scored without training, with `python -m trainer {UNTRAINED[name]}`")
    if name not in KINDS:
        raise InputError(f"kind {name!r} is not known to this trainer; known: {', '.join(KINDS)}")
    return KINDS[name]


__all__ = ["KINDS", "UNTRAINED", "Kind", "Masking", "named_kind"]
