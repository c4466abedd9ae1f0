"""Metrics, by the name that a shard's manifest carries. To add one: a file here and a line in METRICS."""

from __future__ import annotations

from collections.abc import Callable

from trainer.metrics.accuracy import accuracy
from trainer.metrics.perplexity import perplexity

METRICS: dict[str, Callable[..., float]] = {
    "accuracy": accuracy,
    "perplexity": perplexity,
}
