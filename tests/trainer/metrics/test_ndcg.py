"""nDCG against its definition by brute force: all orders of documents with equal scores, one by one."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from trainer.metrics import METRICS
from trainer.metrics.ndcg import RANKED

NDCG = METRICS["ndcg"]


def ranked(queries: list[int], scores: list[float]) -> np.ndarray:
    return np.array(list(zip(queries, scores, strict=True)), dtype=RANKED)


def score(queries: list[int], scores: list[float], gold: list[float]) -> float:
    return NDCG.score(NDCG.counts(ranked(queries, scores), gold))


def brute_force(scores: list[float], gold: list[float]) -> float:
    def dcg(order: tuple[int, ...]) -> float:
        return sum(gold[at] / math.log2(1 + rank) for rank, at in enumerate(order, start=1))

    orders = list(itertools.permutations(range(len(gold))))
    sorted_ones = [o for o in orders if all(scores[a] >= scores[b] for a, b in itertools.pairwise(o))]
    best = max(map(dcg, orders))
    return float(np.mean([dcg(order) for order in sorted_ones]) / best) if best else 0.0


@pytest.mark.parametrize("seed", range(12))
def test_equal_to_all_orders(seed: int) -> None:
    generator = np.random.default_rng(seed)
    queries = generator.permutation(np.repeat([5, 2, 9], [6, 4, 2])).tolist()
    scores, gold = generator.integers(-2, 2, 12).astype(float).tolist(), generator.integers(0, 5, 12).tolist()
    rows = {query: [at for at in range(12) if queries[at] == query] for query in set(queries)}
    expected = [brute_force([scores[at] for at in one], [gold[at] for at in one]) for one in rows.values()]
    assert score(queries, scores, gold) == pytest.approx(np.mean(expected), rel=1e-12)


def test_by_hand() -> None:
    assert score([0, 0, 0], [1.0, 3.0, 2.0], [0, 2, 1]) == 1.0
    assert score([0, 0], [2.0, 1.0], [0, 4]) == pytest.approx(1 / math.log2(3))
    assert score([0, 0, 1], [2.0, 1.0, 0.0], [0, 4, 0]) == pytest.approx(1 / math.log2(3)), "one document is no ranking"
    assert score([0, 0, 1, 1], [2.0, 1.0, 0, 0], [3, 1, 0, 0]) == 0.5, "a query without a relevant document counts 0"
    assert score([0, 1], [1.0, 1.0], [1, 1]) == 0.0


def test_counts_stand_on_the_first_row_of_a_query() -> None:
    counts = NDCG.counts(ranked([7, 3, 7, 3], [2, 1, 1, 2]), [4, 0, 1, 2])
    assert counts[:, 1].tolist() == [1, 1, 0, 0]
    assert counts[:2, 0].tolist() == [1, 1]


def test_grades_that_are_missing() -> None:
    with pytest.raises(ValueError, match="no score here: 1 of 2"):
        score([0, 0], [1, 2], [math.nan, 1])
