"""Macro-averaged F1: unweighted mean over classes of the harmonic mean of precision and recall.

Definition: F1_c = 2 tp_c / (predicted_c + gold_c), tp_c the examples of class c that are predicted as c; the mean is
over the classes that occur in predictions or gold labels, as in scikit-learn. Units: fraction, 0 to 1. Source: Yang
and Liu 1999, "A re-examination of text categorization methods" (SIGIR); the metric of AfriSenti and MasakhaNEWS.

Shapes: N examples, C classes, S = 3 C counts: tp of every class, then predicted, then gold.
"""

from __future__ import annotations

import numpy as np

from trainer.metrics.metric import Floats, Metric, Values, class_indices


def counts(predicted: Values, gold: Values) -> Floats:
    """(N, 3 C) indicators, C one more than the largest class index of either."""
    predicted_N, gold_N = class_indices(predicted, gold)
    of_class = np.eye(1 + max(predicted_N.max(), gold_N.max()))
    predicted_NC, gold_NC = of_class[predicted_N], of_class[gold_N]
    return np.hstack((predicted_NC * gold_NC, predicted_NC, gold_NC))


def value(total_S: Floats, examples: int) -> float:
    """Mean F1 over the classes that occur."""
    tp_C, predicted_C, gold_C = total_S.reshape(3, -1)
    occurs_C = predicted_C + gold_C > 0
    return float(np.mean(2 * tp_C[occurs_C] / (predicted_C + gold_C)[occurs_C]))


def gradient(total_S: Floats, examples: int) -> Floats:
    """(3 C,): `examples` times the partial derivatives of `value`; 0 for classes that do not occur."""
    tp_C, predicted_C, gold_C = total_S.reshape(3, -1)
    size_C = predicted_C + gold_C
    by_tp_C = np.divide(2.0, size_C, out=np.zeros_like(size_C), where=size_C > 0)
    by_size_C = -by_tp_C * tp_C / np.maximum(size_C, 1)
    return examples / np.count_nonzero(size_C) * np.concatenate((by_tp_C, by_size_C, by_size_C))


F1 = Metric("f1", higher_is_better=True, unit="%", digits=1, counts=counts, value=value, gradient=gradient)
