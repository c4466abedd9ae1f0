"""Metrics against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from trainer.metrics import METRICS


def test_registry_and_docstrings() -> None:
    assert set(METRICS) == {"accuracy", "perplexity"}
    for function in METRICS.values():
        text = __import__(function.__module__, fromlist=["x"]).__doc__
        assert all(word in text for word in ("Definition", "Units", "Source"))


def test_accuracy() -> None:
    assert METRICS["accuracy"]([0, 1, 2, 2], [0, 1, 1, 2]) == 0.75
    assert METRICS["accuracy"]([1], [0]) == 0.0


def test_accuracy_needs_labels() -> None:
    with pytest.raises(ValueError, match="no label here: 1 of 2"):
        METRICS["accuracy"]([0, 1], [0, -1])


@pytest.mark.parametrize(("predicted", "gold"), [([], []), ([1], [1, 2]), ([[1]], [[1]])])
def test_accuracy_of_the_wrong_shape(predicted: list, gold: list) -> None:
    with pytest.raises(ValueError, match=r"no examples|predictions for"):
        METRICS["accuracy"](predicted, gold)


def test_perplexity() -> None:
    assert METRICS["perplexity"](0.0) == 1.0
    assert METRICS["perplexity"](math.log(250)) == pytest.approx(250)  # uniform over 250 tokens
    assert METRICS["perplexity"](1e6) == math.inf
    for bad in (-0.1, math.nan):
        with pytest.raises(ValueError, match="negative"):
            METRICS["perplexity"](bad)
