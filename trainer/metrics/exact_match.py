"""Exact match: share of examples whose predicted text is one of the gold texts, after normalisation.

Definition: texts are lower-cased, and punctuation, the articles "a", "an", "the" and surplus white space are removed.
Units: fraction, 0 to 1. Source: SQuAD's evaluation script (Rajpurkar et al. 2016, arXiv 1606.05250).
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np

from trainer.metrics import accuracy
from trainer.metrics.metric import Floats, Metric, Values

_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalised(text: str) -> str:
    """`text` as it is compared; punctuation is Unicode's (category P), of any script."""
    kept = "".join(letter for letter in text.lower() if not unicodedata.category(letter).startswith("P"))
    return " ".join(_ARTICLES.sub(" ", kept).split())


def counts(predicted: Values, gold: Values) -> Floats:
    """(N, 1): 1 where a predicted text (str) is among the gold ones (a sequence of str), else 0."""
    if not len(predicted) == len(gold) == sum(map(bool, gold)):
        raise ValueError(f"{len(predicted)} predictions for {sum(map(bool, gold))} of {len(gold)} gold answers")
    found = [normalised(text) in map(normalised, answers) for text, answers in zip(predicted, gold, strict=True)]
    return np.array(found, dtype=float)[:, None]


EXACT_MATCH = Metric("exact_match", higher_is_better=True, unit="%", digits=1, counts=counts, value=accuracy.value)
