"""Normalised discounted cumulative gain: mean over queries of the gain of their ranking relative to the ideal one.

Definition: DCG = sum over a query's documents of relevance / log2(1 + rank), documents ranked by predicted score, and
the gains of documents with equal scores averaged; nDCG = DCG / DCG of the ranking by relevance, 0 where no document is
relevant. Queries with one document are left out. Units: fraction, 0 to 1. Source: Jarvelin and Kekalainen 2002,
"Cumulated gain-based evaluation of IR techniques" (TOIS 20); ties as in McSherry and Najork 2008 (ECIR) and
scikit-learn; as XGLUE scores web page ranking (Liang et al. 2020, arXiv 2004.01401; microsoft/Unicoder).

Shapes: N query-document pairs, D documents of a query.
"""

from __future__ import annotations

import numpy as np

from trainer.metrics.metric import Floats, Metric, Values, numbers

RANKED = np.dtype([("query", np.int64), ("score", np.float64)])


def counts(predicted: Values, gold: Values) -> Floats:
    """(N, 2): on the first row of each query its nDCG and 1, on all other rows 0. predicted: (N,) of RANKED."""
    scores_N, gold_N = numbers(predicted["score"], gold)
    _, first, query_N = np.unique(predicted["query"], return_index=True, return_inverse=True)
    order = np.argsort(query_N, kind="stable")
    found = np.zeros((len(scores_N), 2))
    for row, rows in zip(first, np.split(order, np.cumsum(np.bincount(query_N))[:-1]), strict=True):
        if len(rows) > 1:
            ideal = _dcg(gold_N[rows], gold_N[rows])
            found[row] = (min(1.0, _dcg(scores_N[rows], gold_N[rows]) / ideal) if ideal > 0 else 0.0), 1.0
    return found


def _dcg(scores_D: Floats, gold_D: Floats) -> float:
    """DCG of one query, averaged over the orders of documents with equal scores."""
    _, tie_D, sizes = np.unique(-scores_D, return_inverse=True, return_counts=True)
    discounts = 1 / np.log2(2 + np.arange(len(scores_D)))
    discount_by_tie = np.add.reduceat(discounts, np.concatenate(([0], np.cumsum(sizes)[:-1]))) / sizes
    return float(gold_D @ discount_by_tie[tie_D])


def value(total_S: Floats, examples: int) -> float:
    """Mean over queries; 0 where no query has two documents."""
    return float(total_S[0] / max(1.0, total_S[1]))


def gradient(total_S: Floats, examples: int) -> Floats:
    """(2,): `examples` times the partial derivatives of `value`."""
    queries = max(1.0, float(total_S[1]))
    return examples / queries * np.array([1.0, -value(total_S, examples)])


NDCG = Metric("ndcg", higher_is_better=True, unit="%", digits=1, counts=counts, value=value, gradient=gradient)
