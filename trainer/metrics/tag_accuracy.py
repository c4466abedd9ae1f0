"""Tag accuracy: share of words whose predicted tag is the gold tag, over all words of all sentences.

Definition: right words / words. Units: fraction, 0 to 1. Source: the usual score of part-of-speech taggers and XGLUE's
(Liang et al. 2020, arXiv 2004.01401). XTREME's "accuracy" of UDPOS is another number, see `seqeval_f1`.

Shapes: N sentences, S = 2 counts: right words, words.
"""

from __future__ import annotations

import math

import numpy as np

from trainer.metrics.metric import Floats, Metric, Values
from trainer.metrics.tags import tag_lists


def counts(predicted: Values, gold: Values) -> Floats:
    """(N, 2) right words and words of each sentence."""
    return np.array([(sum(one == other for one, other in zip(tags, right, strict=True)), len(right))
                     for tags, right in tag_lists(predicted, gold)], dtype=float)


def value(total_S: Floats, examples: int) -> float:
    """Right words per word."""
    return float(total_S[0] / total_S[1])


def gradient(total_S: Floats, examples: int) -> Floats:
    """(2,): `examples` times the partial derivatives of `value`."""
    right, words = total_S
    return np.asarray(examples / words * np.array([1.0, -right / words]))


TAG_ACCURACY = Metric("tag_accuracy", higher_is_better=True, unit="%", digits=1, counts=counts, value=value,
                      gradient=gradient, largest_count=math.inf)
