"""Kinds of task: the columns of their cells, and how a raw record becomes a row and a row becomes token ids."""

from __future__ import annotations

from data_prep.base.errors import InputError
from data_prep.kinds import (
    mlm,
    multiple_choice,
    pair,
    ranking,
    regression,
    retrieval,
    span_qa,
    tagging,
    translation_ranking,
)
from data_prep.kinds.kind import Kind

KINDS: dict[str, Kind] = {
    "pair": pair,
    "mlm": mlm,
    "multiple_choice": multiple_choice,
    "retrieval": retrieval,
    "span_qa": span_qa,
    "tagging": tagging,
    "regression": regression,
    "ranking": ranking,
    "translation_ranking": translation_ranking,
}


def named_kind(name: str) -> Kind:
    """The kind called `name`. Raises InputError if there is none."""
    if name not in KINDS:
        raise InputError(f"no kind {name!r}; kinds: {', '.join(KINDS)}")
    return KINDS[name]
