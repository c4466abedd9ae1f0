"""Backward accuracy: share of candidates whose nearest query is one that they match.

Definition: the accuracy of a search in the other direction, from candidates to queries; in Tatoeba from English into
the language. Units: fraction, 0 to 1. Source: XTREME's score on Tatoeba (Hu et al. 2020, arXiv 2003.11080; the
direction is that of `similarity_search` in its `utils_retrieve.py`).
"""

from __future__ import annotations

import dataclasses

from trainer.metrics.accuracy import ACCURACY
from trainer.metrics.metric import Floats, Values


def counts(predicted: Values, gold: Values) -> Floats:
    """(N, 1): 1 right, 0 wrong, for N candidates."""
    return ACCURACY.counts(predicted, gold)


BACKWARD_ACCURACY = dataclasses.replace(ACCURACY, name="backward_accuracy", counts=counts, majority_is_chance=False)
