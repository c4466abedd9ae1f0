"""Metrics of tags against seqeval itself and a second reading of conlleval's rules."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from seqeval.metrics import f1_score

from data_prep.tasks.tags import UPOS, iob
from trainer.metrics import METRICS

Sentences = list[list[str]]


def drawn(names: tuple[str, ...], seed: int, sure: float = 0.6) -> tuple[Sentences, Sentences]:
    """(predicted, gold): tags in any order, so that I- stands behind O and behind other types."""
    generator = np.random.default_rng(seed)
    gold = [generator.choice(names, n).tolist() for n in generator.integers(1, 15, 30)]
    predicted = [[tag if generator.random() < sure else str(generator.choice(names)) for tag in tags] for tags in gold]
    return predicted, gold


def score(name: str, predicted: Sentences, gold: Sentences) -> float:
    return METRICS[name].score(METRICS[name].counts(predicted, gold))


def spans(tags: list[str]) -> set[tuple[str, int, int]]:
    """Spans of IOB tags: B- begins one, and so does I- behind anything but B- or I- of its type."""
    found, start = set(), None
    for at, tag in enumerate([*tags, "O"]):
        before = tags[at - 1] if at else "O"
        if start is not None and (tag[0] != "I" or tag[2:] != before[2:]):
            found.add((before[2:], start, at - 1))
            start = None
        if start is None and tag != "O":
            start = at
    return found


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("metric", "names"), [
    ("span_f1", iob("PER", "ORG", "LOC")), ("span_f1", iob("A-B", "B")), ("seqeval_f1", UPOS)])
def test_equal_to_seqeval_to_the_last_digit(metric: str, names: tuple[str, ...], seed: int) -> None:
    predicted, gold = drawn(names, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert score(metric, predicted, gold) == f1_score(gold, predicted)


@pytest.mark.parametrize("seed", range(5))
def test_spans_are_those_of_conlleval(seed: int) -> None:
    predicted, gold = drawn(iob("PER", "ORG"), seed)
    counts = METRICS["span_f1"].counts(predicted, gold)
    expected = [(len(spans(p) & spans(g)), len(spans(p)), len(spans(g))) for p, g in zip(predicted, gold, strict=True)]
    assert counts.tolist() == [list(map(float, row)) for row in expected]


def test_nothing_to_find() -> None:
    nothing = [["O", "O"]]
    assert score("span_f1", nothing, nothing) == score("span_f1", [["B-A", "O"]], nothing) == 0.0
    assert METRICS["span_f1"].influences(METRICS["span_f1"].counts(nothing, nothing)).tolist() == [0.0]


def test_the_two_scores_of_part_of_speech_differ() -> None:
    """A run of one tag is one span, a wrong word breaks it; CCONJ and SCONJ are of one type to seqeval."""
    gold, predicted = [["NOUN", "NOUN", "VERB", "CCONJ"]], [["NOUN", "ADJ", "VERB", "SCONJ"]]
    assert score("tag_accuracy", predicted, gold) == 0.5
    assert METRICS["seqeval_f1"].counts(predicted, gold).tolist() == [[2.0, 4.0, 3.0]]
    assert METRICS["seqeval_f1"].name == "seqeval_f1"


def test_a_sentence_that_begins_with_x_counts_as_with_seqeval() -> None:
    """Its span begins in the sentence before, where the two differ in their last span."""
    gold, predicted = [["NOUN", "NOUN"], ["X", "VERB"]], [["NOUN", "ADJ"], ["X", "VERB"]]
    assert METRICS["seqeval_f1"].counts(predicted, gold).tolist() == [[0.0, 2.0, 1.0], [1.0, 2.0, 2.0]]


@pytest.mark.parametrize("metric", ["span_f1", "seqeval_f1", "tag_accuracy"])
@pytest.mark.parametrize(("predicted", "gold", "message"), [
    ([["O"]], [[""]], "no label here: 1 of 1"), ([], [], "0 predicted sentences"),
    ([["O"]], [["O"], ["O"]], "1 predicted sentences for 2"),
    ([["O"]], [["O", "O"]], "another number of predicted tags")])
def test_what_has_no_score(metric: str, predicted: Sentences, gold: Sentences, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        METRICS[metric].counts(predicted, gold)
