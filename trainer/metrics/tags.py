"""Pairs of predicted and gold tags of sentences, checked, for the metrics over words and spans."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.metrics.metric import Values


def tag_lists(predicted: Values, gold: Values) -> list[tuple[Sequence[str], Sequence[str]]]:
    """(predicted, gold) names of tags, sentence by sentence.

    Raises ValueError for no sentences, another number of sentences or words, and a missing gold tag ("").
    """
    if not len(gold) or len(predicted) != len(gold):
        raise ValueError(f"{len(predicted)} predicted sentences for {len(gold)} labelled ones")
    pairs = list(zip(predicted, gold, strict=True))
    if any(len(tags) != len(right) for tags, right in pairs):
        raise ValueError("a sentence with another number of predicted tags than of gold tags")
    if missing := sum(not all(right) for _, right in pairs):
        raise ValueError(f"no label here: {missing} of {len(pairs)} sentences have a word without a tag")
    return pairs
