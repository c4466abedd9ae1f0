"""Paired differences between two systems over test items and training runs: intervals, p-values, detectable effects.

Model: d_sci = contribution(other) - contribution(base) to the metric (right or wrong, for accuracy) for seed s (a pair
of runs), cell c (a language, or a pair of languages) and test item i. Seeds and items are crossed random effects: the
luck of a seed is common to its cells and items, an item is the same sentence in every cell and for every seed. Items
that share a text (XNLI has three hypotheses to a premise) form a group, the unit of sampling, for which i stands below.
Cells are fixed. For a mean over cells with per-seed values D_s,

    Var(mean_s D_s) = seed part + item part
    seed part = Var_s(D_s) / S                           S - 1 degrees of freedom; holds the seed x item residual too
    item part = max(0, sum_i mean_s(u_si)^2 - residual)  u_si: influence of item i on D_s; many degrees of freedom
    residual  = sum_i sum_s (u_si - mean_s u_si)^2 / (S (S - 1))

and the interval's half-width is sqrt(t(S - 1)^2 * seed part + t(items)^2 * item part) (Banerjee 1961, Sankhya A 23):
for independent variance estimates its coverage is at least nominal, whichever part is larger. Satterthwaite's degrees
of freedom are not used: with 3 seeds they call equal systems different in 7 to 8 % of studies in which both parts
matter (measured by `trainer bench claims`). p is the level at which the interval touches zero.

With fewer than SEEDS_FOR_CLAIMS seeds the variance of training cannot be estimated: the interval is then conditional on
the runs, covers the items only, and nothing is claimed of the method.

Legend: S seeds, C cells, N items, G groups of items, M means over cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy import optimize, special  # not stats, which cannot be imported where torch is blocked

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
    """True if it covers the luck of training besides the choice of items: from SEEDS_FOR_CLAIMS seeds on."""
    detectable: float | None = None
    """Smallest true difference that as many seeds and items find in 80 % of studies, given the estimated variances
    and after the correction for several labels; None for single cells and under 3 seeds."""
    adjusted: float = 1.0
    """p after `corrected` over its family; 1 where training is not covered, so that nothing is claimed."""

    @property
    def excludes_zero(self) -> bool:
        """True if zero lies outside the interval."""
        return self.low > 0 or self.high < 0

    @property
    def claimed(self) -> bool:
        """True if it is significant after correction, and so called a gain or a loss of the method."""
        return self.adjusted < ALPHA


@dataclass(frozen=True)
class Differences:
    """Intervals per cell (C), and per requested mean over cells (M) and contrast of cells."""

    cells: list[Interval]
    means: list[Interval]
    contrasts: list[Interval] = field(default_factory=list)


@dataclass(frozen=True)
class _Variance:
    """Estimated seed and item parts of the variance of a mean difference; arrays over targets (cells, or means)."""

    seeds: Floats
    items: Floats
    seed_freedom: int  # 0 where there is no seed part
    item_freedom: Floats

    def half_width(self, level: float | Floats) -> Floats:
        """Half-width of the interval of confidence 1 - `level`."""
        width = special.stdtrit(self.item_freedom, np.asarray(level) / 2) ** 2 * self.items
        if self.seed_freedom:
            width = width + special.stdtrit(self.seed_freedom, np.asarray(level) / 2) ** 2 * self.seeds
        return np.asarray(np.sqrt(width))


def paired_differences(
    difference_SCN: npt.NDArray[np.int8 | np.float32], present_CN: npt.NDArray[np.bool_],
    means: Sequence[Sequence[int]] = (), *, contrasts: Sequence[npt.ArrayLike] = (),
    groups_N: npt.NDArray[np.int64] | None = None, labels: int = 1, covers_training: bool = True, fraction: bool = True,
) -> Differences:
    """Intervals of the difference of a metric between two systems on the same items, per cell and mean over cells.

    difference_SCN: per seed (a pair of runs), cell and item, contribution to the metric (`Metric.contributions`) of
    other minus base; -1, 0 or 1 for accuracy. present_CN: whether the cell has the item. means: lists of cell indices;
    each gives the unweighted mean over its cells. contrasts: weights over the cells, (C,); each gives the weighted sum
    of the cells, such as a slope (`slope_weights`). groups_N: group of each item, 0 <= group < G; None where each is
    its own. labels: systems compared with the base, for the detectable difference. covers_training: False where the
    seeds are not independent runs, so that the intervals cover the items only, as under SEEDS_FOR_CLAIMS seeds.
    fraction: whether the metric lies in [0, 1], so that two items, one changed by 1 each way, join the item part.

    Raises ValueError where a cell has no item at all.
    """
    _, cells, items = difference_SCN.shape
    if present_CN.shape != (cells, items) or not present_CN.any(axis=1).all():
        raise ValueError("every cell needs at least one item, and one mark of presence per item")
    count_C = present_CN.sum(axis=1).astype(np.float64)
    value_SC = np.where(present_CN, difference_SCN, 0).sum(axis=2, dtype=np.float64) / count_C
    weight_CN = present_CN / count_C[:, None].astype(np.float32)  # of an item in its cell's value
    influence_SCN = (difference_SCN - value_SC[:, :, None].astype(np.float32)) * weight_CN
    influence_SCG = _pooled(influence_SCN, groups_N)
    drawn_C = (_pooled(weight_CN, groups_N) > 0).sum(axis=1)
    influence_SCG *= np.sqrt(drawn_C / np.maximum(drawn_C - 1, 1))[:, None].astype(np.float32)  # unbiased squares
    weight_CN *= fraction
    single = _Targets(value_SC, influence_SCG, (weight_CN**2).sum(axis=1))
    found = [_mean_target(single, weight_CN, members) for members in means]
    covers = covers_training and len(difference_SCN) >= SEEDS_FOR_CLAIMS
    weighted = [_contrast_target(single, weight_CN, np.asarray(weights, dtype=np.float64)) for weights in contrasts]
    return Differences(_intervals(single, covers), [_intervals(target, covers, ALPHA / labels)[0] for target in found],
                       [_intervals(target, covers, ALPHA / labels)[0] for target in weighted])


def slope_weights(x_C: npt.ArrayLike) -> Floats:
    """(C,) weights whose contrast of values y_C is the least-squares slope of y on `x_C`.

    Raises ValueError where all x are equal.
    """
    centred_C = np.asarray(x_C, dtype=np.float64) - np.mean(np.asarray(x_C, dtype=np.float64))
    if not np.square(centred_C).sum() > 0:
        raise ValueError("a slope takes two different x at least")
    return np.asarray(centred_C / np.square(centred_C).sum())


def corrected(family: Sequence[Interval]) -> list[Interval]:
    """Intervals with Holm's correction over those of them that cover training."""
    covered = [index for index, interval in enumerate(family) if interval.covers_training]
    adjusted = holm([family[index].p for index in covered])
    result = list(family)
    for index, p in zip(covered, adjusted, strict=True):
        result[index] = replace(family[index], adjusted=p)
    return result


def corrected_means(by_label: Sequence[Sequence[Interval]]) -> list[list[Interval]]:
    """Intervals of means per label: Holm's correction over labels, then a fixed sequence within each label.

    A later mean (over nearly the same cells) can only be claimed where the earlier ones are, so that several means of
    a label need no correction of their own (Maurer, Hothorn and Lehmacher 1995).
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
    """Quantities that get an interval: T cells, or one mean over cells."""

    value_ST: Floats
    influence_STG: npt.NDArray[np.float32]
    weight_T: Floats  # weight of an item, mean over items by weight: 1 / N for equal ones


def _pooled(values: npt.NDArray[np.float32], groups_N: npt.NDArray[np.int64] | None) -> npt.NDArray[np.float32]:
    """(..., G) sums of `values` (..., N) within groups."""
    if groups_N is None:
        return values
    order = np.argsort(groups_N, kind="stable")
    starts = np.flatnonzero(np.diff(groups_N[order], prepend=-1))
    return np.asarray(np.add.reduceat(values[..., order], starts, axis=-1))


def _mean_target(single: _Targets, weight_CN: npt.NDArray[np.float32], members: Sequence[int]) -> _Targets:
    """Unweighted mean over `members`; influences of a group on them add up, since it is one text."""
    chosen = list(members)
    weight_N = weight_CN[chosen].mean(axis=0, dtype=np.float64)
    return _Targets(single.value_ST[:, chosen].mean(axis=1, keepdims=True),
                    single.influence_STG[:, chosen].mean(axis=1, keepdims=True), (weight_N**2).sum(keepdims=True))


def _contrast_target(single: _Targets, weight_CN: npt.NDArray[np.float32], weights_C: Floats) -> _Targets:
    """Weighted sum over cells. The two items that join the item part count with the sizes of their weights."""
    weight_N = np.abs(weights_C) @ weight_CN.astype(np.float64)
    influence_SG = np.einsum("c,scg->sg", weights_C, single.influence_STG)
    return _Targets(single.value_ST @ weights_C[:, None], influence_SG[:, None].astype(np.float32),
                    (weight_N**2).sum(keepdims=True) / weight_N.sum())


def _variance(target: _Targets, covers_training: bool) -> _Variance:
    seeds = target.value_ST.shape[0]
    mean_TG = target.influence_STG.mean(axis=0, dtype=np.float64)
    # Two items more, one changed each way: else a handful of changes in one direction would have no variance at all
    # (Bonett and Price 2012, J. Educ. Behav. Stat. 37, add as much to a difference of paired proportions).
    extra_T = target.weight_T**2
    items_T = (mean_TG**2).sum(axis=1) + 2 * extra_T
    fourth_T = (mean_TG**4).sum(axis=1) + 2 * extra_T**2
    # By the kurtosis: few changes, few degrees of freedom.
    freedom_T = np.divide(2 * items_T**2, fourth_T, out=np.ones_like(items_T), where=fourth_T > 0)
    if not covers_training:
        return _Variance(np.zeros_like(items_T), items_T, 0, freedom_T)
    squares_T = np.square(target.influence_STG).sum(axis=(0, 2), dtype=np.float64)
    residual_T = (squares_T - seeds * (mean_TG**2).sum(axis=1)) / (seeds * (seeds - 1))
    return _Variance(target.value_ST.var(axis=0, ddof=1) / seeds, np.maximum(0.0, items_T - residual_T), seeds - 1,
                     freedom_T)


def _intervals(target: _Targets, covers: bool, detect_at: float | None = None) -> list[Interval]:
    """Intervals of all targets; `detect_at`: level of the test for the detectable difference of a single target."""
    estimate_T, variance = target.value_ST.mean(axis=0), _variance(target, covers)
    half_T, p_T = variance.half_width(ALPHA), _p_values(estimate_T, variance)
    detectable = _detectable(variance, detect_at) if detect_at and covers else None
    return [Interval(float(e), float(e - h), float(e + h), float(p), covers, detectable)
            for e, h, p in zip(estimate_T, half_T, p_T, strict=True)]


def _p_values(estimate_T: Floats, variance: _Variance) -> Floats:
    """Levels at which the intervals touch zero, by bisection of their logarithm; 1 for no difference."""
    low, high = np.full_like(estimate_T, np.log(_SMALLEST_P)), np.zeros_like(estimate_T)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        wide = variance.half_width(np.exp(middle)) > np.abs(estimate_T)
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    return np.asarray(np.where(np.abs(estimate_T) < 1e-12, 1.0, np.exp(high)))


def _detectable(variance: _Variance, level: float) -> float:
    """True difference that a test at `level` finds with probability POWER, given the estimated variances.

    Averaged over quantiles of the chi-square distribution of the seed part, whose estimate from few seeds varies.
    """
    seeds, items = float(variance.seeds[0]), float(variance.items[0])
    spread = np.sqrt(seeds + items)
    if spread == 0:
        return 0.0
    half_freedom = variance.seed_freedom / 2
    scatter = special.gammaincinv(half_freedom, (np.arange(_NODES) + 0.5) / _NODES) / half_freedom
    drawn = _Variance(seeds * scatter, np.full(_NODES, items), variance.seed_freedom,
                      np.full(_NODES, float(variance.item_freedom[0])))
    half = drawn.half_width(level)

    def shortfall(difference: float) -> float:
        found = special.ndtr((difference - half) / spread) + special.ndtr((-half - difference) / spread)
        return float(found.mean()) - POWER

    return float(optimize.brentq(shortfall, 0.0, half.max() + 5 * spread))
