"""Mean average precision over queries (mAP), of the whole ranking or, as mAP at 20, of its first 20 candidates.

Definition: the average precision of a query with R relevant candidates, of which the i-th is at rank r_i, is the sum of
i / r_i divided by R; cut at rank k, the sum is over r_i <= k and the divisor min(R, k); 0 without relevant candidates.
Units: fraction, 0 to 1. Source: LAReQA (Roy et al. 2020, arXiv 2004.05484); at 20, XTREME-R (Ruder et al. 2021, arXiv
2104.07412), whose `average_precision_at_k` this is, and on Mewsli-X its mean reciprocal rank, which is the same where
R = 1.
"""

from __future__ import annotations

import numpy as np

from trainer.metrics import accuracy
from trainer.metrics.metric import Floats, Metric, Values


def counts(ranks: Values, relevant: Values, cut: int | None = None) -> Floats:
    """(N, 1) average precisions. ranks: of each query's relevant candidates, from 1, ascending; relevant: their
    number, which may be larger, as candidates can be missing from the pool."""
    found = np.zeros((len(ranks), 1))
    for at, (ranks_R, size) in enumerate(zip(ranks, relevant, strict=True)):
        kept = np.asarray(ranks_R, dtype=float)
        kept = kept if cut is None else kept[kept <= cut]
        divisor = size if cut is None else min(size, cut)
        found[at] = (np.arange(1, len(kept) + 1) / kept).sum() / max(1, divisor)
    return found


def counts_20(ranks: Values, relevant: Values) -> Floats:
    """(N, 1) average precisions at 20."""
    return counts(ranks, relevant, cut=20)


MEAN_AVERAGE_PRECISION = Metric("mean_average_precision", higher_is_better=True, unit="%", digits=1, counts=counts,
                                value=accuracy.value)
MEAN_AVERAGE_PRECISION_20 = Metric("mean_average_precision_20", higher_is_better=True, unit="%", digits=1,
                                   counts=counts_20, value=accuracy.value)
