"""Accuracy: share of examples whose predicted class is the gold class.

Definition: number of i with prediction_i = gold_i, divided by the number of examples. Units: fraction, 0 to 1.
Source: the metric of XNLI (Conneau et al. 2018, arXiv 1809.05053) and PAWS-X (Yang et al. 2019, arXiv 1908.11828), as
XTREME scores them (Hu et al. 2020, arXiv 2003.11080).
"""

from __future__ import annotations

import numpy as np

from trainer.metrics.metric import Floats, Metric, Values, class_indices


def counts(predicted: Values, gold: Values) -> Floats:
    """(N, 1): 1 right, 0 wrong."""
    predicted_N, gold_N = class_indices(predicted, gold)
    return np.equal(predicted_N, gold_N).astype(float)[:, None]


def value(total_S: Floats, examples: int) -> float:
    """Right predictions per example."""
    return float(total_S[0] / examples)


ACCURACY = Metric("accuracy", higher_is_better=True, unit="%", digits=1, counts=counts, value=value,
                  majority_is_chance=True)
