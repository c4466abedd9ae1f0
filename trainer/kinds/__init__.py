"""Task heads: one file per kind, and the one dict that names them."""

from __future__ import annotations

from trainer.kinds import mlm, pair
from trainer.kinds.protocol import Head

HEADS: dict[str, Head] = {
    "pair": pair.HEAD,
    "mlm": mlm.HEAD,
}

__all__ = ["HEADS", "Head"]
