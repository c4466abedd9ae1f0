"""Paired differences between two systems over test items and training runs: intervals, p-values, detectable effects.

Model: d_sci = correct(other) - correct(base) for seed s (a pair of runs), cell c (a language, or a pair of languages)
and test item i. Seeds and items are crossed random effects: a seed's luck moves all its cells and items, an item is
the same sentence in every cell and for every seed. Cells are fixed. For a mean over cells with per-seed values D_s,

    Var(mean_s D_s) = seed part + item part
    seed part = Var_s(D_s) / S                           S - 1 degrees of freedom; holds the seed x item residual too
    item part = max(0, sum_i mean_s(u_si)^2 - residual)  u_si: influence of item i on D_s; many degrees of freedom
    residual  = sum_i sum_s (u_si - mean_s u_si)^2 / (S (S - 1))

and the interval's half-width is sqrt(t(S - 1)^2 * seed part + t(items)^2 * item part) (Banerjee 1961, Sankhya A 23):
for independent variance estimates its coverage is at least nominal, whichever part is the larger one. Satterthwaite's
degrees of freedom were tried first: with 3 seeds they call equal systems different in 7 to 8 % of studies in which both
parts matter (`trainer bench claims` measures it). p is the level at which the interval touches zero.

With fewer than SEEDS_FOR_CLAIMS seeds the luck of training cannot be estimated to any use: the interval is then that of
the items, given these very runs, and nothing is claimed of the method.

Legend: S seeds, C cells, N items, M means over cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from trainer.statistics.summary import holm

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
SEEDS_FOR_CLAIMS = 3
POWER = 0.8
_SMALLEST_P = 1e-12
_HALVINGS = 40
_NODES = 200  # of the quadrature over the seed part's chi-square distribution

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean difference with its 95 % interval and two-sided p-value; fractions, not percent."""

    estimate: float
    low: float
    high: float
    p: float
    covers_training: bool
    """Whether it covers the luck of training beside the choice of test items: from SEEDS_FOR_CLAIMS seeds on."""
    detectable: float | None = None
    """The smallest true difference that as many seeds and items find in 80 % of studies; None under 3 seeds."""
    adjusted: float = 1.0
    """p after `corrected` over its family; stays 1 where training is not covered, so that nothing is claimed."""

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0

    @property
    def claimed(self) -> bool:
        """Whether it may be called a gain or a loss of the method."""
        return self.adjusted < ALPHA


@dataclass(frozen=True)
class Differences:
    """Intervals per cell (C) and per requested mean over cells (M)."""

    cells: list[Interval]
    means: list[Interval]


@dataclass(frozen=True)
class _Variance:
    """Estimated variance of a mean difference in its two parts; arrays over targets (cells, or means)."""

    seeds: Floats
    items: Floats
    seed_freedom: int  # 0 where there is no seed part
    item_freedom: Floats

    def half_width(self, level: float | Floats) -> Floats:
        """Of the interval of confidence 1 - `level`."""
        width = special.stdtrit(self.item_freedom, np.asarray(level) / 2) ** 2 * self.items
        if self.seed_freedom:
            width = width + special.stdtrit(self.seed_freedom, np.asarray(level) / 2) ** 2 * self.seeds
        return np.asarray(np.sqrt(width))


def paired_differences(
    difference_SCN: npt.NDArray[np.int8], present_CN: npt.NDArray[np.bool_], means: Sequence[Sequence[int]] = (),
) -> Differences:
    """Intervals of the difference between two systems on the same items, per cell and per mean over cells.

    `difference_SCN`: per seed (a pair of runs), cell and item, other minus base: -1, 0 or 1. `present_CN`: whether the
    cell has the item. `means`: lists of cell indices; each gives the unweighted mean over its cells.

    Raises ValueError where a cell has no item at all.
    """
    _, cells, items = difference_SCN.shape
    if present_CN.shape != (cells, items) or not present_CN.any(axis=1).all():
        raise ValueError("every cell needs at least one item, and one mark of presence per item")
    count_C = present_CN.sum(axis=1).astype(np.float64)
    value_SC = np.where(present_CN, difference_SCN, 0).sum(axis=2) / count_C
    # An item's influence on its cell's value; the last factor makes sums of squares unbiased.
    scale_C = np.sqrt(count_C / np.maximum(count_C - 1, 1)) / count_C
    single = _Targets(value_SC, _influence(difference_SCN, value_SC, present_CN, scale_C), 1 / count_C)
    found = [_mean_target(single, present_CN, count_C, members) for members in means]
    return Differences(_intervals(single, detect=False), [_intervals(target, detect=True)[0] for target in found])


def corrected(family: Sequence[Interval]) -> list[Interval]:
    """The intervals with Holm's correction over all of them that cover training; the others can claim nothing."""
    covered = [index for index, interval in enumerate(family) if interval.covers_training]
    adjusted = holm([family[index].p for index in covered])
    result = list(family)
    for index, p in zip(covered, adjusted, strict=True):
        result[index] = replace(family[index], adjusted=p)
    return result


def corrected_means(by_label: Sequence[Sequence[Interval]]) -> list[list[Interval]]:
    """Per label its intervals of means, in order: Holm's correction over labels, then a fixed sequence within a label.

    A later mean (over nearly the same cells) can only be claimed where the earlier ones are, so that several means of
    one label need no correction of their own (Maurer, Hothorn and Lehmacher 1995).
    """
    result = [list(intervals) for intervals in by_label]
    for position in range(max(map(len, result), default=0)):
        rows = [intervals for intervals in result if position < len(intervals)]
        for intervals, interval in zip(rows, corrected([row[position] for row in rows]), strict=True):
            before = intervals[position - 1].adjusted if position else 0.0
            intervals[position] = replace(interval, adjusted=max(before, interval.adjusted))
    return result


@dataclass(frozen=True)
class _Targets:
    """What gets an interval: T cells, or one mean over cells."""

    value_ST: Floats
    influence_STN: npt.NDArray[np.float32]
    item_T: Floats  # weight of one item in the value: what one item more or less changes it by


def _influence(
    difference_SCN: npt.NDArray[np.int8], value_SC: Floats, present_CN: npt.NDArray[np.bool_], scale_C: Floats
) -> npt.NDArray[np.float32]:
    influence = difference_SCN.astype(np.float32)
    influence -= value_SC[:, :, None].astype(np.float32)
    influence *= present_CN * scale_C[:, None].astype(np.float32)
    return influence


def _mean_target(
    single: _Targets, present_CN: npt.NDArray[np.bool_], count_C: Floats, members: Sequence[int]
) -> _Targets:
    """The unweighted mean over `members`; an item's influences on them add up, since it is one sentence."""
    chosen = list(members)
    weight_N = (present_CN[chosen] / count_C[chosen, None]).mean(axis=0)
    item = float((weight_N**2).sum() / weight_N.sum())
    return _Targets(single.value_ST[:, chosen].mean(axis=1, keepdims=True),
                    single.influence_STN[:, chosen].mean(axis=1, keepdims=True), np.array([item]))


def _variance(target: _Targets) -> _Variance:
    seeds = target.value_ST.shape[0]
    mean_TN = target.influence_STN.mean(axis=0, dtype=np.float64)
    # Two items more, one changed each way: else a handful of changes in one direction would have no variance at all
    # (Bonett and Price 2012, J. Educ. Behav. Stat. 37, add as much to a difference of paired proportions).
    extra_T = target.item_T**2
    items_T = (mean_TN**2).sum(axis=1) + 2 * extra_T
    freedom_T = 2 * items_T**2 / ((mean_TN**4).sum(axis=1) + 2 * extra_T**2)  # by the kurtosis: few changes, few df
    if seeds < SEEDS_FOR_CLAIMS:
        return _Variance(np.zeros_like(items_T), items_T, 0, freedom_T)
    squares_T = np.square(target.influence_STN).sum(axis=(0, 2), dtype=np.float64)
    residual_T = (squares_T - seeds * (mean_TN**2).sum(axis=1)) / (seeds * (seeds - 1))
    return _Variance(target.value_ST.var(axis=0, ddof=1) / seeds, np.maximum(0.0, items_T - residual_T), seeds - 1,
                     freedom_T)


def _intervals(target: _Targets, detect: bool) -> list[Interval]:
    estimate_T, variance = target.value_ST.mean(axis=0), _variance(target)
    half_T, p_T = variance.half_width(ALPHA), _p_values(estimate_T, variance)
    covers = variance.seed_freedom > 0
    detectable = _detectable(variance) if detect and covers else None
    return [Interval(float(e), float(e - h), float(e + h), float(p), covers, detectable)
            for e, h, p in zip(estimate_T, half_T, p_T, strict=True)]


def _p_values(estimate_T: Floats, variance: _Variance) -> Floats:
    """The levels at which the intervals touch zero, by bisection of their logarithm; 1 for no difference."""
    low, high = np.full_like(estimate_T, np.log(_SMALLEST_P)), np.zeros_like(estimate_T)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        wide = variance.half_width(np.exp(middle)) > np.abs(estimate_T)
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    return np.asarray(np.where(np.abs(estimate_T) < 1e-12, 1.0, np.exp(high)))


def _detectable(variance: _Variance) -> float:
    """The true difference whose interval excludes zero with probability POWER, variances being as estimated.

    The seed part is estimated from few seeds, so its scatter (chi-square) counts: an average over its quantiles.
    """
    seeds, items = float(variance.seeds[0]), float(variance.items[0])
    spread = np.sqrt(seeds + items)
    if spread == 0:
        return 0.0
    scatter = stats.chi2.ppf((np.arange(_NODES) + 0.5) / _NODES, variance.seed_freedom) / variance.seed_freedom
    drawn = _Variance(seeds * scatter, np.full(_NODES, items), variance.seed_freedom,
                      np.full(_NODES, float(variance.item_freedom[0])))
    half = drawn.half_width(ALPHA)

    def shortfall(difference: float) -> float:
        found = special.ndtr((difference - half) / spread) + special.ndtr((-half - difference) / spread)
        return float(found.mean()) - POWER

    return float(optimize.brentq(shortfall, 0.0, half.max() + 5 * spread))
