"""Pearson correlation of predicted and gold scores.

Definition: covariance over the product of the standard deviations; 0 where predictions or gold scores are all equal, as
of a collapsed model, for which it is not defined. Units: -1 to 1. Source: Pearson 1895 (Proc. R. Soc. 58); the metric
of STS Benchmark (Cer et al. 2017, arXiv 1708.00055).

Shapes: N examples.
"""

from __future__ import annotations

import numpy as np

from trainer.metrics.metric import Floats, Joint, Metric, Values, numbers


def counts(predicted: Values, gold: Values) -> Floats:
    """(N, 2): predicted and gold score."""
    return np.stack(numbers(predicted, gold), axis=1)


def value(scores_N2: Floats) -> float:
    """The correlation of two columns."""
    return correlation(scores_N2[:, 0], scores_N2[:, 1])


def influences(scores_N2: Floats) -> Floats:
    """(N,) u v - r (u^2 + v^2) / 2, u and v the standardised scores (Devlin et al. 1975, Biometrika 62, 531-545)."""
    x_N, y_N = scores_N2.T
    if not (np.ptp(x_N) and np.ptp(y_N)):
        return np.zeros(len(scores_N2))
    u_N, v_N = standardised(x_N), standardised(y_N)
    return np.asarray(u_N * v_N - correlation(x_N, y_N) * (u_N**2 + v_N**2) / 2)


def correlation(x_N: Floats, y_N: Floats) -> float:
    """Pearson correlation, -1 to 1; 0 where either is constant."""
    if not (np.ptp(x_N) and np.ptp(y_N)):
        return 0.0
    x_N, y_N = x_N - x_N.mean(), y_N - y_N.mean()
    return float(np.clip((x_N / np.linalg.norm(x_N)) @ (y_N / np.linalg.norm(y_N)), -1.0, 1.0))


def standardised(x_N: Floats) -> Floats:
    """Mean 0 and standard deviation 1 (denominator N)."""
    return np.asarray((x_N - x_N.mean()) / x_N.std())


PEARSON = Metric("pearson", higher_is_better=True, unit="", digits=1, counts=counts, joint=Joint(value, influences),
                 times_100=True, smallest_count=-np.inf, largest_count=np.inf)
