"""Kinds of tasks, by the name that a cell's manifest carries. To add one: a file here and a line in KINDS."""

from __future__ import annotations

from trainer.kinds import mlm, pair
from trainer.kinds.kind import Kind, Masking

KINDS: dict[str, Kind] = {
    "pair": pair.KIND,
    "mlm": mlm.KIND,
}

__all__ = ["KINDS", "Kind", "Masking"]
