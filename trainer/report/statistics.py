"""The statistics of a report: means and deviations, the paired bootstrap, Holm's correction.

Inputs and outputs are numbers and arrays; nothing here knows of languages, files or tables.

Legend: S seeds (pairs of runs), C cells (languages, or pairs of languages), N example ids, B resamples, M means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
RESAMPLES = 10_000
SEED = 0  # of the resampling: the same runs give the same report
_DRAWS_AT_ONCE = 4_000_000  # ids drawn per chunk; bounds memory at a few dozen megabytes
_ZERO = 1e-12  # sums over seeds of differences that cancel leave rounding of this order


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (None for fewer than two values) of `count` values."""

    mean: float
    deviation: float | None
    count: int


@dataclass(frozen=True)
class Interval:
    """A difference, its percentile interval and its two-sided p-value; fractions, not percent."""

    estimate: float
    low: float
    high: float
    p: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Bootstrap:
    """Intervals per cell (C) and per requested mean over cells (M)."""

    cells: list[Interval]
    means: list[Interval]


def summarise(values: Sequence[float]) -> Summary:
    """Mean and standard deviation (n - 1 in the denominator) over seeds. Raises ValueError for no values."""
    if not values:
        raise ValueError("a summary of no values")
    array = np.asarray(values, dtype=np.float64)
    deviation = float(array.std(ddof=1)) if array.size > 1 else None
    return Summary(float(array.mean()), deviation, int(array.size))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for as many tests, in the order given (Holm 1979, Scand. J. Statist. 6, 65-70).

    The k-th smallest of m is multiplied by m - k + 1, made non-decreasing, and cut at 1.
    """
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def paired_bootstrap(
    difference_SCN: npt.NDArray[np.int8],
    present_CN: npt.NDArray[np.bool_],
    means: Sequence[Sequence[int]] = (),
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Bootstrap:
    """Intervals of the mean difference between two systems on the same examples, by resampling the examples.

    `difference_SCN`: per pair of runs, cell and example id, correct(other) - correct(base): -1, 0 or 1; 0 where absent.
    `present_CN`: whether the cell has that id. `means`: lists of cell indices; the unweighted mean over each list's
    cells gets an interval too.

    Every resample draws N ids with replacement and uses them in all cells and seeds at once: rows of parallel
    languages with one id are one sentence, so their errors are not independent (Koehn 2004, EMNLP, resamples test
    sentences of two systems as pairs). With several seeds it also draws S of the S pairs of runs with replacement.
    Two-sided p: twice the smaller share of resamples on one side of zero, each count plus one, cut at 1.

    Raises ValueError where a cell has no example at all.
    """
    seeds, cells, examples = difference_SCN.shape
    if present_CN.shape != (cells, examples) or not present_CN.any(axis=1).all():
        raise ValueError("every cell needs at least one example, and one mark of presence per example")
    difference_SCN = np.where(present_CN[None], difference_SCN, 0)
    complete = bool(present_CN.all())
    columns_NK = difference_SCN.reshape(seeds * cells, examples).T.astype(np.float32)
    present_NC = present_CN.T.astype(np.float32)
    rng = np.random.default_rng(seed)
    draws_BC = np.empty((resamples, cells))
    chunk = max(1, min(resamples, _DRAWS_AT_ONCE // examples))
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        weight_bN = _example_weights(rng, size, examples)
        # Sums of small whole numbers: exact in float32 below 2**24, so no BLAS changes a report.
        sum_bSC = (weight_bN @ columns_NK).astype(np.float64).reshape(size, seeds, cells)
        count_bC = np.full((size, cells), float(examples)) if complete else (weight_bN @ present_NC).astype(np.float64)
        share_bS = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=size) / seeds
        # A resample may miss every id of a tiny cell: its difference is then taken as none.
        draws_BC[start : start + size] = np.einsum("bs,bsc->bc", share_bS, sum_bSC) / np.maximum(count_bC, 1)
    estimate_C = difference_SCN.sum(axis=2).mean(axis=0) / present_CN.sum(axis=1)
    return Bootstrap(
        cells=[_interval(float(estimate_C[c]), draws_BC[:, c]) for c in range(cells)],
        means=[_interval(float(estimate_C[list(m)].mean()), draws_BC[:, list(m)].mean(axis=1)) for m in means],
    )


def _example_weights(rng: np.random.Generator, size: int, examples: int) -> npt.NDArray[np.float32]:
    """How often each of `examples` ids is drawn, in each of `size` resamples: (size, examples)."""
    drawn = rng.integers(0, examples, size=(size, examples))
    drawn += np.arange(size)[:, None] * examples
    return np.bincount(drawn.ravel(), minlength=size * examples).reshape(size, examples).astype(np.float32)


def _interval(estimate: float, draws_B: npt.NDArray[np.float64]) -> Interval:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws_B, [tail, 1 - tail])
    one_sided = min(int((draws_B <= _ZERO).sum()), int((draws_B >= -_ZERO).sum()))
    return Interval(estimate, float(low), float(high), min(1.0, 2 * (one_sided + 1) / (draws_B.size + 1)))
