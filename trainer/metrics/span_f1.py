"""Span F1: micro-averaged F1 over named entities, a span being right if type, first and last word are.

Definition: precision P = right / predicted spans, recall R = right / gold spans, F1 = 2 P R / (P + R), over all
sentences; spans are those of seqeval 1.2.2 (default mode, as conlleval): an I- tag behind O or another type begins one.
Units: fraction, 0 to 1. Source: Tjong Kim Sang and De Meulder 2003 (CoNLL shared task); Nakayama 2018, seqeval; the
metric of PAN-X in XTREME (Hu et al. 2020, arXiv 2003.11080).

Shapes: N sentences, S = 3 counts: right spans, predicted spans, gold spans.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from trainer.metrics.metric import Floats, Metric, Values
from trainer.metrics.tags import tag_lists


def counts(predicted: Values, gold: Values) -> Floats:
    """(N, 3) spans that end in each sentence: right, predicted, gold.

    All sentences are read at once, as seqeval does: it takes a tag X at the start of a sentence for the end of a span
    that begins in an earlier one.
    """
    from seqeval.metrics.sequence_labeling import get_entities  # brings scikit-learn, which reports do not need

    pairs = tag_lists(predicted, gold)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns of every tag without B- or I-
        one, other = (set(get_entities([list(tags) for tags in column])) for column in zip(*pairs, strict=True))
    ends = np.cumsum([len(tags) + 1 for tags, _ in pairs])  # seqeval puts an O between sentences
    return np.stack([np.bincount(np.searchsorted(ends, [end for _, _, end in spans], side="right"), minlength=len(ends))
                     for spans in (one & other, one, other)], axis=1).astype(float)


def value(total_S: Floats, examples: int) -> float:
    """F1, in the order of seqeval's operations; 0 where nothing is right."""
    right, predicted, gold = map(float, total_S)
    if not right:
        return 0.0
    precision, recall = right / predicted, right / gold
    return 2 * precision * recall / (precision + recall)


def gradient(total_S: Floats, examples: int) -> Floats:
    """(3,): `examples` times the partial derivatives of 2 right / (predicted + gold)."""
    right, predicted, gold = map(float, total_S)
    spans = max(1.0, predicted + gold)
    return 2 * examples / spans * np.array([1.0, -right / spans, -right / spans])


SPAN_F1 = Metric("span_f1", higher_is_better=True, unit="%", digits=1, counts=counts, value=value, gradient=gradient,
                 largest_count=math.inf)
