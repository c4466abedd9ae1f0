"""Spearman rank correlation of predicted and gold scores.

Definition: Pearson correlation of the ranks, equal scores sharing the mean of their ranks; 0 where predictions or gold
scores are all equal, as of a collapsed model, for which it is not defined. Units: -1 to 1. Source: Spearman 1904 (Am.
J. Psychol. 15); the metric of the STS tasks of MTEB (Muennighoff et al. 2023, arXiv 2210.07316).

Shapes: N examples.
"""

from __future__ import annotations

import numpy as np

from trainer.metrics.metric import Floats, Joint, Metric
from trainer.metrics.pearson import correlation, counts, standardised


def value(scores_N2: Floats) -> float:
    """The rank correlation of two columns."""
    return correlation(ranks(scores_N2[:, 0]), ranks(scores_N2[:, 1]))


def ranks(x_N: Floats) -> Floats:
    """Ranks from 1, equal values sharing the mean of theirs."""
    _, place_N, sizes = np.unique(x_N, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(sizes) - (sizes - 1) / 2)[place_N])


def influences(scores_N2: Floats) -> Floats:
    """(N,) influence function of the rank correlation, ties included, at the sample.

    An example acts as a point of its own, as in Pearson's, and by moving the ranks of all others: for continuous
    scores the sum is the influence function of Croux and Dehon 2010 (Stat. Methods Appl. 19, 497-515).
    """
    x_N, y_N = scores_N2.T
    if not (np.ptp(x_N) and np.ptp(y_N)):
        return np.zeros(len(scores_N2))
    rank_x_N, rank_y_N = ranks(x_N), ranks(y_N)
    r, u_N, v_N = correlation(rank_x_N, rank_y_N), standardised(rank_x_N), standardised(rank_y_N)
    own_N = u_N * v_N - r * (u_N**2 + v_N**2) / 2
    return np.asarray(own_N + _moved(x_N, v_N - r * u_N, rank_x_N.std()) + _moved(y_N, u_N - r * v_N, rank_y_N.std()))


def _moved(x_N: Floats, slope_N: Floats, deviation: float) -> Floats:
    """(N,) effect of each example through the ranks of others: sum_j slope_j [x_j > x_i], ties half, less its mean.

    slope: derivative of the correlation with respect to standardised ranks, times N; its mean is 0.
    """
    values, place_N = np.unique(x_N, return_inverse=True)
    by_value = np.bincount(place_N, weights=slope_N, minlength=len(values))
    above = by_value[::-1].cumsum()[::-1] - by_value / 2
    return np.asarray((above[place_N] - above[place_N].mean()) / deviation)


SPEARMAN = Metric("spearman", higher_is_better=True, unit="", digits=1, counts=counts, joint=Joint(value, influences),
                  times_100=True, smallest_count=-np.inf, largest_count=np.inf)
