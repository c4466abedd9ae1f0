"""Exact search against brute force over whole score matrices, whatever the size of a block."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from trainer.retrieval import search


@pytest.fixture(params=[1, 40, 10_000], ids="{} scores at once".format, autouse=True)
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SCORES", request.param)


def whole(seed: int, rows: int, width: int = 3) -> torch.Tensor:
    """Vectors of small whole numbers: scores are exact, and many are equal."""
    return torch.from_numpy(np.random.default_rng(seed).integers(-3, 4, (rows, width))).float()


def test_nearest_and_best_candidates() -> None:
    queries, pool = whole(0, 17), whole(1, 31)
    scores = (queries @ pool.T).numpy()
    best = np.lexsort((np.broadcast_to(np.arange(31), scores.shape), -scores), axis=1)
    assert search.nearest(queries, pool).tolist() == best[:, 0].tolist()
    values, positions = search.top_k(queries, pool, 5)
    assert values.tolist() == np.take_along_axis(scores, best[:, :5], axis=1).tolist()
    assert np.take_along_axis(scores, positions.numpy(), axis=1).tolist() == values.tolist()
    assert search.top_k(queries, pool, 99)[0].shape == (17, 31)


def test_ranks_with_ties() -> None:
    queries, pool, generator = whole(2, 13), whole(3, 29), np.random.default_rng(4)
    relevant = [generator.choice(29, size, replace=False) for size in generator.integers(0, 6, 13)]
    expected = []
    for query, ones in zip(queries, relevant, strict=True):
        scores = (pool @ query).tolist()
        order = sorted(range(29), key=lambda at: (-scores[at], at))
        expected.append(sorted(order.index(at) + 1 for at in ones.tolist()))
    assert [ranks.tolist() for ranks in search.ranks(queries, pool, relevant)] == expected


def units(seed: int, rows: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, 6))), dim=1)


@pytest.mark.parametrize("margin", [True, False])
def test_mined_pairs(margin: bool) -> None:
    """The algorithm of LASER's `mine_bitext`, retrieval "max", with loops over every pair."""
    queries, pool = units(5, 12), units(6, 19)
    scores = (queries @ pool.T).numpy()
    by_query, by_candidate = np.argsort(-scores, axis=1)[:, :4], np.argsort(-scores, axis=0)[:4].T

    def value(query: int, candidate: int) -> float:
        around = (scores[query, by_query[query]].mean() + scores[by_candidate[candidate], candidate].mean()) / 2
        return float(scores[query, candidate] / around if margin else scores[query, candidate])

    found = [max((value(query, at), query, int(at)) for at in by_query[query]) for query in range(12)]
    found += [max((value(int(at), candidate), int(at), candidate) for at in by_candidate[candidate])
              for candidate in range(19)]
    expected: list[tuple[float, int, int]] = []
    for score, query, candidate in sorted(found, reverse=True):
        if all(query != other[1] and candidate != other[2] for other in expected):
            expected.append((score, query, candidate))
    at_queries, at_pool, found_scores = search.mine(queries, pool, margin)
    assert list(zip(at_queries.tolist(), at_pool.tolist(), strict=True)) == [pair[1:] for pair in expected]
    assert found_scores == pytest.approx([pair[0] for pair in expected], rel=1e-12)


def test_the_threshold_is_the_best_of_all() -> None:
    generator = np.random.default_rng(7)
    for size, right_share in itertools.product((1, 5, 30), (0.1, 0.5, 1.0)):
        scores = -np.sort(-generator.integers(0, 9, size) / 7)
        right = generator.random(size) < right_share
        gold = int(right.sum()) + 3
        threshold, *f1 = search.best_threshold(scores, right, gold), *(
            2 * (right & kept).sum() / (kept.sum() + gold) for kept in (scores >= one for one in (*scores, np.inf)))
        kept = scores >= threshold
        assert 2 * (right & kept).sum() / (kept.sum() + gold) == max(f1)
    assert search.best_threshold(np.array([0.9, 0.5]), np.array([True, False]), 1) == pytest.approx(0.7)
    tied = search.best_threshold(np.array([0.9, 0.5, 0.5, 0.5, 0.5]), np.array([True, True, False, False, False]), 2)
    assert tied == pytest.approx(0.7), "of equal scores all are kept, or none"
    assert search.best_threshold(np.array([0.9]), np.array([False]), 1) == np.inf
