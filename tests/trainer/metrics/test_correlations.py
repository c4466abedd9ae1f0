"""Pearson and Spearman: scipy's numbers, defined where scipy gives NaN, and intervals that cover the true value."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from trainer.metrics import METRICS

SCIPY = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}


def score(name: str, predicted: object, gold: object) -> float:
    return METRICS[name].score(METRICS[name].counts(predicted, gold))


@pytest.mark.parametrize("name", SCIPY)
@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e6])
@pytest.mark.parametrize("ties", [False, True])
def test_equal_to_scipys(name: str, scale: float, ties: bool) -> None:
    generator = np.random.default_rng(3)
    for size in (2, 3, 10, 1379):
        gold = generator.uniform(0, 5, size).round(0 if ties else 9)
        gold[:2] = 0, 5
        predicted = 2.5 + scale * (gold * generator.choice([-1, 1]) + generator.normal(0, 2, size).round(1))
        assert score(name, predicted, gold) == pytest.approx(SCIPY[name](predicted, gold)[0], rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("name", SCIPY)
def test_constant_scores_have_no_correlation(name: str) -> None:
    for predicted, gold in (([1.5, 1.5, 1.5], [1, 2, 3]), ([1, 2, 3], [4, 4, 4]), ([1], [2])):
        assert score(name, predicted, gold) == 0.0
        counts = METRICS[name].counts(predicted, gold)
        assert METRICS[name].influences(counts).tolist() == [0.0] * len(gold)


@pytest.mark.parametrize("name", SCIPY)
def test_perfect_agreement_and_negative_scores(name: str) -> None:
    assert score(name, [-3.0, 0.0, 7.0], [1, 2, 4.5]) <= 1.0
    assert score(name, [3.0, 2.0, 1.0], [1, 2, 3]) == pytest.approx(-1.0)


@pytest.mark.parametrize("name", SCIPY)
@pytest.mark.parametrize(("predicted", "gold", "message"), [
    ([1.0, 2.0], [1.0, np.nan], "no score here: 1 of 2"), ([], [], "no examples"), ([1.0], [1.0, 2.0], "for")])
def test_scores_that_are_missing(name: str, predicted: list, gold: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score(name, predicted, gold)


def test_influences_on_spearman_are_those_of_croux_and_dehon() -> None:
    """Their equation for continuous scores, expectations taken over the sample: O(N^2), and O(1/N) from ours."""
    generator = np.random.default_rng(0)
    x, noise = generator.normal(size=(2, 2000))
    y = x + noise
    f, g = (stats.rankdata(one) / 2000 for one in (x, y))
    rho = 12 * np.mean(f * g) - 3
    expected = -3 * rho - 9 + 12 * (f * g + (g[None] * (x[None] >= x[:, None])).mean(1)
                                    + (f[None] * (y[None] >= y[:, None])).mean(1))
    found = METRICS["spearman"].influences(np.stack((x, y), axis=1))
    np.testing.assert_allclose(found, expected - expected.mean(), atol=0.02)


@pytest.mark.parametrize("name", SCIPY)
@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_intervals_cover_the_true_value(name: str, noise: float) -> None:
    """Normal 95 % intervals from the influences, 300 examples of half points: 91 to 98 % of 600 samples hold the truth.
    """
    generator, metric = np.random.default_rng(1), METRICS[name]

    def drawn(size: int) -> np.ndarray:
        gold = generator.integers(0, 11, size) / 2
        return metric.counts(gold + generator.normal(0, noise * 1.6, size), gold)

    truth, covered = metric.score(drawn(1_000_000)), 0
    for _ in range(600):
        counts = drawn(300)
        half = 1.96 * metric.influences(counts).std() / 300**0.5
        covered += abs(metric.score(counts) - truth) <= half
    print(f"{name}, noise {noise}: {truth:.3f}, {covered / 6:.1f} % covered")
    assert 0.91 * 600 <= covered <= 0.98 * 600
