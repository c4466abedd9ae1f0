"""Metrics by the name that a cell's manifest carries. To add one: a file here and a line in METRICS."""

from __future__ import annotations

from trainer.metrics.accuracy import ACCURACY
from trainer.metrics.exact_match import EXACT_MATCH
from trainer.metrics.f1 import F1
from trainer.metrics.metric import Metric
from trainer.metrics.perplexity import PERPLEXITY

METRICS: dict[str, Metric] = {
    "accuracy": ACCURACY,
    "exact_match": EXACT_MATCH,
    "f1": F1,
    "perplexity": PERPLEXITY,
}

__all__ = ["METRICS", "Metric"]
