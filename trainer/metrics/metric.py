"""The record that describes a metric. numpy only, so that reports can use it without torch.

A metric is a function of counts that add up over examples, or, as correlations are, of all examples' numbers together;
a cell's score, and the sampling error of a difference between two systems, follow from the same numbers per example.

Shapes: N examples, S counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Values = Any  # array or sequence of length N: class indices, texts, numbers, as the task's kind decodes them


class Joint(NamedTuple):
    """Functions of the numbers of all examples together, (N, S)."""

    value: Callable[[Floats], float]
    """The metric."""
    influences: Callable[[Floats], Floats]
    """(N,) first-order influence of each example on it, mean 0."""


@dataclass(frozen=True)
class Metric:
    """A metric; `trainer.metrics.METRICS` holds all of them by name."""

    name: str
    higher_is_better: bool
    unit: str
    """Unit as displayed: "%" for fractions from 0 to 1; "" for other numbers."""
    digits: int
    """Decimals as displayed."""
    counts: Callable[[Values, Values], Floats]
    """(predictions, gold) of length N -> (N, S) counts. Raises ValueError where gold is missing."""
    value: Callable[[Floats, int], float] | None = None
    """(sum of the counts over examples (S,), number of examples) -> the metric; None with `joint`."""
    gradient: Callable[[Floats, int], Floats] | None = None
    """(S,) derivative of `value` with respect to the mean counts, same arguments; None where the value is the mean of
    the only count."""
    joint: Joint | None = None
    """For a metric that is no function of sums."""
    times_100: bool = False
    """True for numbers, no fractions, that are displayed times 100, as papers print correlations."""
    majority_is_chance: bool = False
    """True if always predicting the most frequent class scores the share of that class."""
    smallest_count: float = 0.0
    largest_count: float = 1.0
    """Bounds of the counts of one example."""

    @property
    def sign(self) -> int:
        """1 where higher is better, else -1."""
        return 1 if self.higher_is_better else -1

    @property
    def is_fraction(self) -> bool:
        """True if values lie in [0, 1]."""
        return self.unit == "%"

    @property
    def factor(self) -> int:
        """Factor between the value and the displayed number."""
        return 100 if self.is_fraction or self.times_100 else 1

    def score(self, counts_NS: Floats) -> float:
        """The metric over all examples; raises ValueError for none."""
        if not len(counts_NS):
            raise ValueError(f"{self.name} of no examples")
        if self.joint is not None:
            return self.joint.value(counts_NS)
        if self.value is None:
            raise TypeError(f"{self.name} has neither value nor joint")
        return self.value(_total(counts_NS), len(counts_NS))

    def contributions(self, counts_NS: Floats) -> Floats:
        """(N,) numbers whose mean is the score and whose scatter is that of the score under resampling of examples.

        For a mean, the counts themselves; else the score plus `influences`.
        """
        if self.joint is None and self.gradient is None:
            return counts_NS[:, 0]
        return self.score(counts_NS) + self.influences(counts_NS)

    def influences(self, counts_NS: Floats) -> Floats:
        """(N,) first-order influence of each example on the score, mean 0: gradient . (counts - mean counts).

        Source: the infinitesimal jackknife (Efron 1982, "The Jackknife, the Bootstrap and Other Resampling Plans").
        """
        if self.joint is not None:
            return self.joint.influences(counts_NS)
        if self.gradient is None:
            return counts_NS[:, 0] - self.score(counts_NS)
        total_S, size = _total(counts_NS), len(counts_NS)
        return np.asarray((counts_NS - total_S / size) @ self.gradient(total_S, size))


def _total(counts_NS: Floats) -> Floats:
    """(S,) sums; column by column, since numpy's pairwise summation needs contiguous numbers."""
    return np.asarray(np.ascontiguousarray(counts_NS.T).sum(axis=1))


def class_indices(predicted: Values, gold: Values) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """`predicted` and `gold` as arrays (N,). Raises ValueError for other shapes, no examples, or a gold label of -1."""
    predicted_N, gold_N = np.asarray(predicted), np.asarray(gold)
    if predicted_N.ndim != 1 or predicted_N.shape != gold_N.shape:
        raise ValueError(f"{predicted_N.shape} predictions for {gold_N.shape} labels")
    if gold_N.size == 0:
        raise ValueError("a score of no examples")
    if (gold_N < 0).any():
        raise ValueError(f"no label here: {int((gold_N < 0).sum())} of {gold_N.size} examples have label -1")
    return predicted_N, gold_N


def numbers(predicted: Values, gold: Values) -> tuple[Floats, Floats]:
    """`predicted` and `gold` as fp64 arrays (N,). Raises ValueError for other shapes, no examples, or missing gold."""
    predicted_N, gold_N = np.asarray(predicted, dtype=np.float64), np.asarray(gold, dtype=np.float64)
    if predicted_N.ndim != 1 or predicted_N.shape != gold_N.shape:
        raise ValueError(f"{predicted_N.shape} predictions for {gold_N.shape} scores")
    if gold_N.size == 0:
        raise ValueError("a score of no examples")
    if np.isnan(gold_N).any():
        raise ValueError(f"no score here: {int(np.isnan(gold_N).sum())} of {gold_N.size} examples have none")
    return predicted_N, gold_N
