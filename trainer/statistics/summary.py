"""Mean and standard deviation over seeds, and Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (None for fewer than two values) of `count` values."""

    mean: float
    deviation: float | None
    count: int


def summarise(values: Sequence[float]) -> Summary:
    """Mean and sample standard deviation (denominator n - 1). Raises ValueError for no values."""
    if not values:
        raise ValueError("a summary of no values")
    array = np.asarray(values, dtype=np.float64)
    deviation = float(array.std(ddof=1)) if array.size > 1 else None
    return Summary(float(array.mean()), deviation, int(array.size))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values with Holm's correction, in the order given (Holm 1979, Scand. J. Statist. 6, 65-70).

    The k-th smallest of m is multiplied by m - k + 1; the result is made non-decreasing and cut at 1.
    """
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted
