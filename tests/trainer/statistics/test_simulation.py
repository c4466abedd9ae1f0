"""False claims over simulated studies of equal methods, in the corners where bootstraps over few seeds go wrong.

`python -m trainer bench claims` runs the whole table; here a few lines of it, with limits that equal methods pass in
all but one of several thousand runs of this test, and that a percentile bootstrap over seeds fails at once.
"""

from __future__ import annotations

import numpy as np
import pytest

from trainer.statistics.simulation import Claims, Setting, _study, count_claims, upper_limit

STUDIES = 300


@pytest.mark.parametrize("setting", [
    Setting(seeds=3, languages=1, items=300, luck=0.5),
    Setting(seeds=3, languages=6, items=300, luck=5.0),
    Setting(seeds=3, languages=6, items=300, luck=1.0, methods=3),
    Setting(seeds=5, languages=6, items=300, luck=0.0, methods=2),
    Setting(seeds=10, languages=3, items=300, luck=2.0),
], ids=str)
def test_equal_methods_are_called_different_in_at_most_five_percent(setting: Setting) -> None:
    found = count_claims(setting, STUDIES)
    for count in (found.mean, found.language, found.slope):
        assert count / STUDIES <= 0.05 + 3.5 * (0.05 * 0.95 / STUDIES) ** 0.5
        assert upper_limit(count, STUDIES) < 0.125


def test_a_large_gain_is_found() -> None:
    setting = Setting(seeds=5, languages=6, items=300, luck=0.5, gain=8.0)
    found = count_claims(setting, 40)
    assert found.mean >= 36
    assert found.language >= 10


def test_a_gain_that_grows_with_distance_is_found() -> None:
    found = count_claims(Setting(seeds=5, languages=6, items=900, luck=0.3, slope=12.0), 25)
    assert found.slope >= 22
    assert found.mean >= 22


@pytest.mark.full
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("luck", [0.5, 2.0])
def test_claims_of_a_study(seeds: int, luck: float) -> None:
    """The claims of a study's report, five methods against one base: no effect, and a planted one."""
    equal = count_claims(Setting(seeds, 5, 900, luck, methods=5), 400)
    for count in (equal.mean, equal.language, equal.slope):
        assert count / 400 <= 0.05
    better = count_claims(Setting(seeds, 5, 900, luck, methods=5, gain=10.0), 60)
    assert better.mean >= 18


@pytest.mark.parametrize("seeds", [1, 2])
def test_under_three_seeds_nothing_is_claimed(seeds: int) -> None:
    assert count_claims(Setting(seeds, 3, 300, luck=5.0, gain=20.0), 20) == Claims(20, 0, 0)


def test_luck_and_gain_are_in_points_of_accuracy() -> None:
    rng = np.random.default_rng(0)
    base, better = _study(rng, Setting(seeds=200, languages=2, items=2000, luck=3.0, gain=5.0))
    assert base.mean() == pytest.approx(0.75, abs=0.01)
    assert better.mean() - base.mean() == pytest.approx(0.05, abs=0.01)
    # Of a run and language, beside the scatter of 2,000 items at three quarters right.
    assert base[:, 0].mean(axis=1).std(ddof=1) == pytest.approx(0.03, rel=0.2)


def test_upper_limit() -> None:
    assert upper_limit(0, 300) == pytest.approx(1 - 0.05 ** (1 / 300))  # the rule of three
    assert upper_limit(300, 300) == 1.0
