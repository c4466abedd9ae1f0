"""Statistics against brute force, analytic approximations and examples worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainer.report.statistics import holm, paired_bootstrap, summarise


def test_summary() -> None:
    summary = summarise([1.0, 2.0, 4.0])
    assert summary.mean == pytest.approx(7 / 3)
    assert summary.deviation == pytest.approx(math.sqrt(7 / 3))  # n - 1
    assert summarise([0.5]).deviation is None
    with pytest.raises(ValueError, match="no values"):
        summarise([])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_identical_runs() -> None:
    result = paired_bootstrap(np.zeros((3, 2, 50), np.int8), np.ones((2, 50), bool), [[0, 1]], 200)
    for interval in [*result.cells, *result.means]:
        assert (interval.estimate, interval.low, interval.high, interval.p) == (0, 0, 0, 1)
        assert not interval.excludes_zero


def test_interval_close_to_the_normal_approximation() -> None:
    examples, up, down = 2000, 150, 120
    difference = np.zeros((1, 1, examples), np.int8)
    difference[0, 0, :up], difference[0, 0, up : up + down] = 1, -1
    interval = paired_bootstrap(difference, np.ones((1, examples), bool), [], 10_000).cells[0]
    mean = (up - down) / examples
    error = math.sqrt(((up + down) / examples - mean**2) / examples)
    assert interval.estimate == pytest.approx(mean)
    assert interval.low == pytest.approx(mean - 1.96 * error, abs=0.06 * error)
    assert interval.high == pytest.approx(mean + 1.96 * error, abs=0.06 * error)
    assert interval.p == pytest.approx(math.erfc(mean / error / math.sqrt(2)), abs=0.01)


def brute_force(difference: np.ndarray, present: np.ndarray, resamples: int) -> np.ndarray:
    """Draws (B, cells) of the two-level bootstrap, one id and one pair of runs at a time."""
    rng = np.random.default_rng(99)
    seeds, cells, examples = difference.shape
    draws = np.zeros((resamples, cells))
    for b in range(resamples):
        ids = rng.integers(0, examples, examples)
        runs = rng.integers(0, seeds, seeds)
        for c in range(cells):
            here = [i for i in ids if present[c, i]]
            draws[b, c] = np.mean([difference[s, c, i] for s in runs for i in here])
    return draws


def test_against_brute_force_with_seeds_and_absent_examples() -> None:
    rng = np.random.default_rng(3)
    difference = rng.choice([-1, 0, 0, 1, 1], size=(3, 2, 40)).astype(np.int8)
    difference[0] = np.minimum(difference[0] + 1, 1)  # one pair of runs differs from the others
    present = rng.uniform(size=(2, 40)) < 0.8
    result = paired_bootstrap(difference, present, [[0, 1]], 4000)
    draws = brute_force(difference, present, 3000)
    exact = [difference[:, c, present[c]].mean() for c in range(2)]
    for c in range(2):
        assert result.cells[c].estimate == pytest.approx(exact[c])
        np.testing.assert_allclose([result.cells[c].low, result.cells[c].high],
                                   np.quantile(draws[:, c], [0.025, 0.975]), atol=0.025)
    assert result.means[0].estimate == pytest.approx(np.mean(exact))
    np.testing.assert_allclose([result.means[0].low, result.means[0].high],
                               np.quantile(draws.mean(axis=1), [0.025, 0.975]), atol=0.025)


def test_languages_are_resampled_together() -> None:
    rng = np.random.default_rng(0)
    one = rng.choice([-1, 0, 1], size=400).astype(np.int8)
    present = np.ones((4, 400), bool)
    alike = paired_bootstrap(np.stack([one] * 4)[None], present, [[0, 1, 2, 3]], 2000)
    apart = paired_bootstrap(np.stack([rng.permutation(one) for _ in range(4)])[None], present, [[0, 1, 2, 3]], 2000)
    width = {name: r.means[0].high - r.means[0].low for name, r in (("alike", alike), ("apart", apart))}
    single = alike.cells[0].high - alike.cells[0].low
    assert width["alike"] == pytest.approx(single)  # four copies of a language say nothing more
    assert width["apart"] == pytest.approx(single / 2, rel=0.15)  # independent ones: a half


def test_several_chunks_and_a_fixed_seed() -> None:
    difference = np.random.default_rng(1).choice([-1, 0, 1], size=(2, 2, 9000)).astype(np.int8)
    present = np.ones((2, 9000), bool)
    first, again = (paired_bootstrap(difference, present, [[0, 1]], 1000) for _ in range(2))
    assert first == again
    assert paired_bootstrap(difference, present, [[0, 1]], 1000, seed=1) != first


def test_a_cell_without_examples() -> None:
    with pytest.raises(ValueError, match="at least one example"):
        paired_bootstrap(np.zeros((1, 1, 3), np.int8), np.zeros((1, 3), bool))
