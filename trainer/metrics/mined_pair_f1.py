"""F1 of mined pairs: harmonic mean of precision and recall of the pairs of sentences called translations.

Definition: 2 tp / (predicted + gold), tp the predicted pairs that are gold; 0 without either. Units: fraction, 0 to 1.
Source: BUCC (Zweigenbaum et al. 2018, "Overview of the Third BUCC Shared Task"), as XTREME scores it (Hu et al. 2020,
arXiv 2003.11080).

Shapes: N queries, S = 3 counts: tp, predicted, gold.
"""

from __future__ import annotations

import math

import numpy as np

from trainer.metrics.metric import Floats, Metric, Values


def counts(predicted: Values, gold: Values) -> Floats:
    """(N, 3) of each query's candidates, predicted and gold, two sequences of collections."""
    return np.array([(len(set(mine) & set(true)), len(mine), len(true))
                     for mine, true in zip(predicted, gold, strict=True)], dtype=float).reshape(-1, 3)


def value(total_S: Floats, examples: int) -> float:
    """F1 of all pairs."""
    tp, predicted, gold = total_S.tolist()
    return 2 * tp / (predicted + gold) if predicted + gold else 0.0


def gradient(total_S: Floats, examples: int) -> Floats:
    """(3,): `examples` times the partial derivatives of `value`."""
    tp, predicted, gold = total_S.tolist()
    size = max(1.0, predicted + gold)
    return examples * np.array([2 / size, -2 * tp / size**2, -2 * tp / size**2])


MINED_PAIR_F1 = Metric("mined_pair_f1", higher_is_better=True, unit="%", digits=1, counts=counts, value=value,
                       gradient=gradient, largest_count=math.inf)
