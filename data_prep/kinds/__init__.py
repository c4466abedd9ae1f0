"""The registry of encoders, one per kind of task."""

from __future__ import annotations

from collections.abc import Callable

from tokenizers import Tokenizer

from data_prep.kinds import mlm, pair
from data_prep.kinds.segments import Encoded
from data_prep.shards.template import InputTemplate
from data_prep.sources.reading import TextBatch

Encoder = Callable[[TextBatch, Tokenizer, int, InputTemplate], Encoded]

ENCODERS: dict[str, Encoder] = {
    "pair": pair.encode,
    "mlm": mlm.encode,
}
