"""Accuracy: the share of examples whose predicted label is the gold label.

Definition: number of i with prediction_i = gold_i, divided by the number of examples. Units: a fraction, 0 to 1
(reports print percent). Source: the metric of XNLI (Conneau et al. 2018, arXiv 1809.05053) and PAWS-X (Yang et al.
2019, arXiv 1908.11828), as XTREME scores them (Hu et al. 2020, arXiv 2003.11080).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def accuracy(predicted: npt.ArrayLike, gold: npt.ArrayLike) -> float:
    """Accuracy of label indices `predicted` (N,) against `gold` (N,).

    Raises ValueError for a gold label of -1 ("no label here": a test split without labels has no score), for no
    examples at all, and for lengths that differ.
    """
    predicted_N, gold_N = np.asarray(predicted), np.asarray(gold)
    if predicted_N.ndim != 1 or predicted_N.shape != gold_N.shape:
        raise ValueError(f"{predicted_N.shape} predictions for {gold_N.shape} labels")
    if gold_N.size == 0:
        raise ValueError("accuracy of no examples")
    if (gold_N < 0).any():
        raise ValueError(f"no label here: {int((gold_N < 0).sum())} of {gold_N.size} examples have label -1")
    return float(np.mean(predicted_N == gold_N))
