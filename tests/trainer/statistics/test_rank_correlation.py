"""The rank correlation against scipy's, its p-value against counting, and its silence."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import spearmanr

from trainer.statistics.rank_correlation import rank_correlation


def test_rho_of_every_run_is_spearmans() -> None:
    draw = np.random.default_rng(0)
    first, second = draw.integers(0, 5, (3, 7)).astype(float), draw.normal(size=(3, 7))  # with ties
    found = rank_correlation(first, second)
    assert found is not None
    assert found.by_run == pytest.approx([spearmanr(a, b).statistic for a, b in zip(first, second, strict=True)])


def test_p_counts_orders_that_are_the_same_in_all_runs() -> None:
    draw = np.random.default_rng(1)
    first, second = draw.normal(size=(2, 5)), draw.normal(size=(2, 5))
    means = [np.mean([spearmanr(a, b[list(order)]).statistic for a, b in zip(first, second, strict=True)])
             for order in itertools.permutations(range(5))]
    found = rank_correlation(first, second)
    assert found is not None
    assert found.p == pytest.approx(np.mean(np.abs(means) >= abs(means[0]) - 1e-9))


def test_a_perfect_order() -> None:
    found = rank_correlation([range(5)] * 3, [range(5, 0, -1)] * 3)
    assert found is not None
    assert (found.mean, found.p, found.clear) == (pytest.approx(-1.0), pytest.approx(2 / 120), True)
    many = rank_correlation([range(20)], [range(20)])
    assert many is not None
    assert many.p < 0.001
    four = rank_correlation([range(4)], [range(4)])
    assert four is not None
    assert not four.clear  # 2 orders of 24 are perfect


def test_runs_that_disagree_are_not_clear() -> None:
    found = rank_correlation([range(8)] * 5, [range(8)] * 4 + [range(8, 0, -1)])
    assert found is not None
    assert found.p < 0.05
    assert not found.clear


def test_nothing_is_said_of_too_little() -> None:
    assert rank_correlation([[1, 2, 3]], [[3, 2, 1]]) is None
    assert rank_correlation([[1, 1, 1, 1]], [[1, 2, 3, 4]]) is None
    assert rank_correlation(np.empty((0, 5)), np.empty((0, 5))) is None
    assert rank_correlation([[]], [[]]) is None
