"""Spearman's rank correlation over languages, runs as repetitions, with a permutation test.

Not scipy.stats.permutation_test, which gives the same p: scipy.stats cannot be imported where torch is blocked.
Shapes: R runs, N languages.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FEWEST_LANGUAGES = 4  # with 3, one order in three is perfect in either direction
ENUMERATED_UP_TO = 8  # languages: 40,320 orders; beyond, _RANDOM_ORDERS
_RANDOM_ORDERS = 40_000
_ROUNDING = 1e-9


@dataclass(frozen=True)
class RankCorrelation:
    """Rank correlation of two quantities over languages."""

    n: int
    """Number of languages."""
    by_run: list[float]
    """Spearman's rho of each run, -1 to 1."""
    p: float
    """Two-sided p: share of orders of the languages whose mean rho over runs is at least as far from 0."""

    @property
    def mean(self) -> float:
        """Mean rho over runs."""
        return float(np.mean(self.by_run))

    @property
    def clear(self) -> bool:
        """True if p is below 0.05 and all runs agree in sign."""
        return self.p < 0.05 and min(self.by_run) * max(self.by_run) > 0


def rank_correlation(first_RN: npt.ArrayLike, second_RN: npt.ArrayLike) -> RankCorrelation | None:
    """Spearman's rho of two quantities over N languages per run, and a permutation test of its mean over runs.

    The test permutes the languages of the second quantity, in the same way in every run, as runs share their
    languages. None for fewer than FEWEST_LANGUAGES, and where a quantity is constant in a run. Raises ValueError for
    arrays of other shapes.
    """
    first, second = np.asarray(first_RN, dtype=np.float64), np.asarray(second_RN, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(f"expected two arrays of one shape (runs, languages), found {first.shape} and {second.shape}")
    runs, n = first.shape
    if not runs or n < FEWEST_LANGUAGES or not (np.ptp(first, axis=1).all() and np.ptp(second, axis=1).all()):
        return None
    a, b = _unit_ranks(first), _unit_ranks(second)
    # The mean rho of any order of the languages is a sum of elements: [l, k] pairs language l with k.
    pairs_NN = np.einsum("rl,rk->lk", a, b) / runs
    observed = abs(float(np.trace(pairs_NN))) - _ROUNDING
    means = pairs_NN[np.arange(n), _orders(n)].sum(axis=1)
    extreme = int((np.abs(means) >= observed).sum())
    p = extreme / len(means) if n <= ENUMERATED_UP_TO else (extreme + 1) / (len(means) + 1)
    return RankCorrelation(n, [float(rho) for rho in (a * b).sum(axis=1)], p)


def _unit_ranks(values_RN: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Centred average ranks scaled to norm 1; their inner products are rank correlations."""
    ranks = (np.sign(values_RN[:, :, None] - values_RN[:, None, :]) / 2).sum(axis=2)
    unit: npt.NDArray[np.float64] = ranks / np.linalg.norm(ranks, axis=1, keepdims=True)
    return unit


def _orders(n: int) -> npt.NDArray[np.int64]:
    """(orders, n) all orders of n items, or _RANDOM_ORDERS random ones, the same at every call."""
    if n <= ENUMERATED_UP_TO:
        flat = np.fromiter(itertools.chain.from_iterable(itertools.permutations(range(n))), dtype=np.int64)
        return flat.reshape(math.factorial(n), n)
    return np.random.default_rng(0).permuted(np.tile(np.arange(n), (_RANDOM_ORDERS, 1)), axis=1)
