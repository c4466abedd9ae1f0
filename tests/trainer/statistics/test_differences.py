"""Paired differences: variance parts against a textbook analysis of variance, limiting cases, corrections, power.

The analysis of variance here is written from the mean squares of a crossed two-way layout; the product works with
influences, so the two share the model but not the computation.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from trainer.statistics.differences import (
    Differences,
    Interval,
    corrected,
    corrected_means,
    paired_differences,
    slope_weights,
)


def draw(seeds: int, cells: int, items: int, seed: int = 0, luck: float = 0.0) -> np.ndarray:
    """Differences in -1, 0, 1 with item effects common to seeds and cells, and a luck of seeds."""
    rng = np.random.default_rng(seed)
    score = (rng.normal(size=items) + luck * rng.normal(size=(seeds, 1, 1)) + rng.normal(size=(seeds, cells, items)))
    return (score > 1).astype(np.int8) - (score < -1.2).astype(np.int8)


def everywhere(difference: np.ndarray) -> np.ndarray:
    return np.ones(difference.shape[1:], dtype=np.bool_)


def mean_squares(value_SN: np.ndarray) -> tuple[float, float, float]:
    """Of seeds, items and residual of a two-way layout without replication."""
    seeds, items = value_SN.shape
    grand, rows, columns = value_SN.mean(), value_SN.mean(axis=1), value_SN.mean(axis=0)
    residual = value_SN - rows[:, None] - columns + grand
    return (items * ((rows - grand) ** 2).sum() / (seeds - 1), seeds * ((columns - grand) ** 2).sum() / (items - 1),
            (residual**2).sum() / ((seeds - 1) * (items - 1)))


@pytest.mark.parametrize("cells", [1, 4])
def test_half_width_from_the_mean_squares_of_a_two_way_layout(cells: int) -> None:
    seeds, items = 5, 700
    difference = draw(seeds, cells, items, luck=0.2)
    interval = paired_differences(difference, everywhere(difference), [range(cells)]).means[0]
    mean_SN = difference.mean(axis=1)
    of_seeds, of_items, of_residual = mean_squares(mean_SN)
    seed_part = of_seeds / (seeds * items)
    # Two more items, one changed each way, join the item part.
    item_part = (of_items - of_residual) / (seeds * items) + 2 / items**2
    # Many items: their t quantile is close to the normal one.
    half = math.sqrt(stats.t.ppf(0.975, seeds - 1) ** 2 * seed_part + 1.96**2 * item_part)
    assert interval.estimate == pytest.approx(mean_SN.mean())
    assert interval.high - interval.estimate == pytest.approx(half, rel=0.01)
    assert interval.estimate - interval.low == pytest.approx(half, rel=0.01)
    assert interval.covers_training


@pytest.mark.parametrize("seeds", [1, 2])
def test_under_three_seeds_the_interval_is_that_of_the_items(seeds: int) -> None:
    difference = draw(seeds, 1, 2000, luck=1.0)
    interval = paired_differences(difference, everywhere(difference)).cells[0]
    mean_N = difference[:, 0].mean(axis=0)
    half = 1.96 * math.sqrt((mean_N.var(ddof=1) + 2 / 2000) / 2000)
    assert interval.high - interval.estimate == pytest.approx(half, rel=0.01)
    assert (interval.covers_training, interval.detectable) == (False, None)
    assert not interval.claimed


def test_with_luck_alone_it_is_the_t_interval_over_seeds() -> None:
    rng = np.random.default_rng(4)
    shares = np.array([0.10, 0.14, 0.02, 0.08])  # of items gained, drawn anew for each seed
    difference = (rng.uniform(size=(4, 1, 20_000)) < shares[:, None, None]).astype(np.int8)
    interval = paired_differences(difference, everywhere(difference)).cells[0]
    values = difference.mean(axis=2)[:, 0]
    test = stats.ttest_1samp(values, 0.0)
    assert interval.estimate == pytest.approx(values.mean())
    low, high = test.confidence_interval(0.95)
    np.testing.assert_allclose([interval.low, interval.high], [low, high], rtol=0.01)
    assert interval.p == pytest.approx(test.pvalue, rel=0.02)


def test_p_is_the_level_at_which_the_interval_touches_zero() -> None:
    rng = np.random.default_rng(0)
    for seed in range(5):
        difference = draw(3, 1, 400, seed=seed, luck=0.1)
        difference[:, :, :40] |= (rng.uniform(size=(3, 1, 40)) < 0.5).astype(np.int8)
        interval = paired_differences(difference, everywhere(difference)).cells[0]
        assert interval.excludes_zero == (interval.p < 0.05)


def test_copies_of_a_language_say_nothing_more_and_independent_ones_do() -> None:
    rng = np.random.default_rng(0)
    one = rng.choice([-1, 0, 1], size=800).astype(np.int8)
    alike = np.stack([one] * 4)[None]
    apart = np.stack([rng.permutation(one) for _ in range(4)])[None]
    present = everywhere(alike)
    width = {name: (i := paired_differences(d, present, [range(4)]).means[0]).high - i.low
             for name, d in (("alike", alike), ("apart", apart))}
    single = paired_differences(alike, present).cells[0]
    assert width["alike"] == pytest.approx(single.high - single.low)
    assert width["apart"] == pytest.approx((single.high - single.low) / 2, rel=0.1)


def test_items_of_a_group_count_as_one_draw() -> None:
    one = draw(3, 2, 300, luck=0.1)
    tripled = np.repeat(one, 3, axis=2)
    groups = np.repeat(np.arange(300), 3)
    alone = paired_differences(one, everywhere(one), [[0, 1]])
    grouped = paired_differences(tripled, everywhere(tripled), [[0, 1]], groups_N=groups)
    apart = paired_differences(tripled, everywhere(tripled), [[0, 1]])
    shuffled = np.random.default_rng(0).permutation(900)
    again = paired_differences(tripled[:, :, shuffled], everywhere(tripled), [[0, 1]], groups_N=groups[shuffled])
    for i, j, k in zip([*grouped.cells, *grouped.means], [*alone.cells, *alone.means], [*again.cells, *again.means],
                       strict=True):
        assert i.high - i.low == pytest.approx(j.high - j.low, rel=0.02), "three copies say nothing more"
        assert (k.low, k.high) == pytest.approx((i.low, i.high)), "wherever the rows stand"
    assert apart.cells[0].high - apart.cells[0].low < 0.95 * (grouped.cells[0].high - grouped.cells[0].low)


def test_runs_that_are_no_independent_seeds() -> None:
    difference = draw(5, 2, 300, luck=0.5)
    found = paired_differences(difference, everywhere(difference), [[0, 1]], covers_training=False)
    for interval in [*found.cells, *found.means]:
        assert (interval.covers_training, interval.detectable) == (False, None)
    covered = paired_differences(difference, everywhere(difference), [[0, 1]]).means[0]
    assert found.means[0].high - found.means[0].low < covered.high - covered.low


def test_detectable_difference_grows_with_labels() -> None:
    difference = draw(4, 1, 300, luck=0.2)
    one, four = (paired_differences(difference, everywhere(difference), [[0]], labels=n).means[0] for n in (1, 4))
    assert one.detectable is not None
    assert four.detectable is not None
    assert four.detectable > 1.2 * one.detectable
    assert (one.low, one.high) == (four.low, four.high)


def test_absent_items_do_not_count() -> None:
    difference = draw(3, 2, 500)
    present = np.random.default_rng(5).uniform(size=(2, 500)) < 0.6
    nonsense = np.where(present, difference, 1).astype(np.int8)
    assert paired_differences(nonsense, present, [[0, 1]]) == paired_differences(difference, present, [[0, 1]])
    alone = paired_differences(difference[:, :1, present[0]], np.ones((1, present[0].sum()), bool))
    found = paired_differences(difference, present).cells[0]
    np.testing.assert_allclose([found.estimate, found.low, found.high],
                               [alone.cells[0].estimate, alone.cells[0].low, alone.cells[0].high], rtol=1e-6)


def test_identical_systems() -> None:
    found = paired_differences(np.zeros((3, 2, 50), np.int8), np.ones((2, 50), bool), [[0, 1]])
    for interval in [*found.cells, *found.means]:
        assert (interval.estimate, interval.p) == (0.0, 1.0)
        assert -0.1 < interval.low < 0 < interval.high < 0.1


def test_the_two_items_that_join_are_no_groups() -> None:
    """Groups of three were once joined by two whole groups, which tripled the half-width of systems that are alike."""
    none, present = np.zeros((3, 2, 300), np.int8), np.ones((2, 300), bool)
    alone = paired_differences(none, present, [[0, 1]])
    grouped = paired_differences(none, present, [[0, 1]], groups_N=np.arange(300) // 3)
    assert [i.high for i in (*grouped.cells, *grouped.means)] == pytest.approx(
        [i.high for i in (*alone.cells, *alone.means)])
    assert grouped.cells[0].high == pytest.approx(stats.t.ppf(0.975, 4) * math.sqrt(2) / 300)


@pytest.mark.parametrize(("changed", "found"), [(4, False), (7, True)])
def test_a_handful_of_groups_that_change_in_one_direction(changed: int, found: bool) -> None:
    """By the sign test over groups, whole ones of three items: 4 of 4 give p = 0.125, 7 of 7 give 0.016."""
    difference = np.zeros((1, 2, 3000), np.int8)
    difference[:, :, : 3 * changed] = 1
    interval = paired_differences(difference, everywhere(difference), [[0, 1]], groups_N=np.arange(3000) // 3).means[0]
    assert interval.excludes_zero is found


def test_a_metric_that_is_no_fraction_is_joined_by_nothing() -> None:
    rng = np.random.default_rng(0)
    difference, present = rng.normal(100.0, 50.0, size=(1, 1, 400)), np.ones((1, 400), bool)
    interval = paired_differences(difference, present, fraction=False).cells[0]
    half = stats.t.ppf(0.975, 399) * difference.std(ddof=1) / math.sqrt(400)
    assert interval.high - interval.estimate == pytest.approx(half, rel=0.01)
    alike = paired_differences(np.zeros_like(difference), present, fraction=False).cells[0]
    assert (alike.low, alike.high, alike.p) == (0, 0, 1)


@pytest.mark.parametrize(("changed", "found"), [(4, False), (5, False), (7, True)])
def test_a_handful_of_changes_in_one_direction(changed: int, found: bool) -> None:
    """By the exact sign test 4 of 4 changes give p = 0.125, 5 of 5 give 0.06, 7 of 7 give 0.016."""
    difference = np.zeros((1, 1, 1000), np.int8)
    difference[0, 0, :changed] = 1
    assert paired_differences(difference, everywhere(difference)).cells[0].excludes_zero is found


def test_a_cell_without_items() -> None:
    with pytest.raises(ValueError, match="at least one item"):
        paired_differences(np.zeros((1, 1, 3), np.int8), np.zeros((1, 3), bool))


def interval_with(p: float, covers: bool = True) -> Interval:
    return Interval(0.01, -0.01, 0.03, p, covers)


def test_correction_leaves_out_what_covers_no_training() -> None:
    found = corrected([interval_with(0.02), interval_with(0.0001, covers=False), interval_with(0.03)])
    assert [i.adjusted for i in found] == pytest.approx([0.04, 1.0, 0.04])
    assert [i.claimed for i in found] == [True, False, True]


def test_a_later_mean_is_claimed_only_where_the_first_is() -> None:
    found = corrected_means([[interval_with(0.001), interval_with(0.04)], [interval_with(0.30), interval_with(0.001)]])
    assert [[i.adjusted for i in intervals] for intervals in found] == [
        pytest.approx([0.002, 0.04]), pytest.approx([0.30, 0.30])]


def test_detectable_difference_is_found_in_four_fifths_of_studies() -> None:
    """Simulated with the variances that the first study estimated: normal per-seed values, known item part."""
    rng = np.random.default_rng(8)
    seeds, luck, items = 4, 0.01, 1000
    difference = np.zeros((seeds, 1, items), np.int8)
    for s, share in enumerate(stats.norm.ppf((np.arange(seeds) + 0.5) / seeds) * luck + 0.2):
        difference[s, 0, rng.permutation(items)[: round(share * items)]] = 1
    interval = paired_differences(difference, everywhere(difference)).cells[0]
    detectable = paired_differences(difference, everywhere(difference), [[0]]).means[0].detectable
    assert detectable is not None
    seed_part = difference.mean(axis=2)[:, 0].var(ddof=1) / seeds
    half = (interval.high - interval.low) / 2
    item_part = (half**2 - stats.t.ppf(0.975, seeds - 1) ** 2 * seed_part) / 1.96**2
    values = rng.normal(detectable, math.sqrt(seed_part * seeds), size=(20_000, seeds))
    values += rng.normal(0, math.sqrt(item_part), size=(20_000, 1))
    widths = np.sqrt(stats.t.ppf(0.975, seeds - 1) ** 2 * values.var(axis=1, ddof=1) / seeds + 1.96**2 * item_part)
    assert np.mean(np.abs(values.mean(axis=1)) > widths) == pytest.approx(0.8, abs=0.015)


def test_result_holds_a_list_per_request() -> None:
    difference = draw(3, 3, 100)
    found = paired_differences(difference, everywhere(difference), [[0, 1, 2], [2]])
    assert isinstance(found, Differences)
    assert (len(found.cells), len(found.means)) == (3, 2)
    assert found.means[1].estimate == found.cells[2].estimate


def test_a_contrast_is_the_slope_of_the_differences() -> None:
    rng = np.random.default_rng(0)
    difference = rng.integers(-1, 2, size=(4, 5, 300)).astype(np.int8)
    present, x = np.ones((5, 300), dtype=np.bool_), np.array([0.0, 0.2, 0.5, 0.7, 1.0])
    found = paired_differences(difference, present, [[0, 1, 2, 3, 4]], contrasts=[slope_weights(x), [0.2] * 5])
    per_seed = [np.polyfit(x, values, 1)[0] for values in difference.mean(axis=2)]
    slope, mean = found.contrasts
    assert slope.estimate == pytest.approx(np.mean(per_seed))
    over_seeds = special.stdtrit(3, 0.975) * np.std(per_seed, ddof=1) / 2  # Student's t, a part of the interval
    assert over_seeds < (slope.high - slope.low) / 2 < 3 * over_seeds
    assert (mean.low, mean.high, mean.p) == pytest.approx(
        (found.means[0].low, found.means[0].high, found.means[0].p), rel=1e-4)
    scaled = paired_differences(difference, present, contrasts=[10 * slope_weights(x)]).contrasts[0]
    assert (scaled.low, scaled.high) == pytest.approx((10 * slope.low, 10 * slope.high), rel=1e-4)
    with pytest.raises(ValueError, match="two different x"):
        slope_weights([1.0, 1.0])
