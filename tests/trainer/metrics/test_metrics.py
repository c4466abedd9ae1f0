"""Metrics against numbers worked out by hand, and their influences against leaving examples out."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest

from trainer.metrics import METRICS, Metric
from trainer.metrics.answers import Answers
from trainer.metrics.ndcg import RANKED


def score(name: str, predicted: Any, gold: Any) -> float:
    return METRICS[name].score(METRICS[name].counts(predicted, gold))


def drawn(name: str, size: int) -> Any:
    """Counts of `size` random examples."""
    generator = np.random.default_rng(0)
    match name:
        case "perplexity":
            return METRICS[name].counts(generator.exponential(10.0, size), generator.integers(1, 9, size))
        case "mean_average_precision" | "mean_average_precision_20":
            ranks = [np.sort(generator.choice(40, 3, replace=False)) + 1 for _ in range(size)]
            return METRICS[name].counts(ranks, [4] * size)
        case "mined_pair_f1":
            mined = [[int(i)] * int(i > 1) for i in generator.integers(0, 6, size)]
            return METRICS[name].counts(mined, [[2, 3][: i % 3] for i in range(size)])
        case "exact_match" | "answer_f1" | "mlqa_f1" | "mlqa_exact_match" | "squad2_f1" | "squad2_exact_match":
            return METRICS[name].counts(["x"] * size, [Answers(["y", "x z", "x"][: 1 + i % 3]) for i in range(size)])
        case "span_f1" | "seqeval_f1" | "tag_accuracy":
            gold = [generator.choice(["O", "B-A", "I-A", "I-B"], n).tolist() for n in generator.integers(1, 9, size)]
            predicted = [np.where(generator.random(len(tags)) < 0.7, tags, "I-A").tolist() for tags in gold]
            return METRICS[name].counts(predicted, gold)
        case "pearson" | "spearman":
            gold = np.round(generator.uniform(0, 5, size), 1)
            return METRICS[name].counts(gold + generator.normal(0, 1.5, size), gold)
        case "ndcg":
            ranked = np.empty(size, dtype=RANKED)
            ranked["query"], ranked["score"] = np.arange(size) // 5 * 7 % 1000, generator.integers(0, 4, size)
            return METRICS[name].counts(ranked, generator.integers(0, 5, size))
    gold = generator.integers(0, 3, size)
    return METRICS[name].counts(np.where(generator.random(size) < 0.7, gold, 2), gold)


@pytest.mark.parametrize("name", METRICS)
def test_registry_and_docstrings(name: str) -> None:
    metric = METRICS[name]
    assert metric.name == name
    text = str(sys.modules[metric.counts.__module__].__doc__)
    assert all(word in text for word in ("Definition", "Units", "Source"))
    assert metric.sign == (-1 if name == "perplexity" else 1)


def test_accuracy() -> None:
    assert score("accuracy", [0, 1, 2, 2], [0, 1, 1, 2]) == 0.75
    assert score("accuracy", [1], [0]) == 0.0


@pytest.mark.parametrize("name", ["accuracy", "f1"])
def test_classes_need_labels(name: str) -> None:
    with pytest.raises(ValueError, match="no label here: 1 of 2"):
        METRICS[name].counts([0, 1], [0, -1])


@pytest.mark.parametrize(("predicted", "gold"), [([], []), ([1], [1, 2]), ([[1]], [[1]])])
@pytest.mark.parametrize("name", ["accuracy", "f1"])
def test_classes_of_the_wrong_shape(name: str, predicted: list, gold: list) -> None:
    with pytest.raises(ValueError, match=r"no examples|predictions for"):
        METRICS[name].counts(predicted, gold)


def test_average_precision() -> None:
    """By hand: one of two relevant candidates first and the other third; one at rank 30; none in the pool."""
    ranks, relevant = [[1, 3], [30], []], [2, 1, 0]
    assert score("mean_average_precision", ranks, relevant) == pytest.approx(((1 + 2 / 3) / 2 + 1 / 30 + 0) / 3)
    assert score("mean_average_precision_20", ranks, relevant) == pytest.approx(((1 + 2 / 3) / 2 + 0 + 0) / 3)
    whole = [list(range(1, 31))], [30]
    assert score("mean_average_precision_20", *whole) == score("mean_average_precision", *whole) == 1.0
    assert score("mean_average_precision", [[1]], [2]) == 0.5, "a relevant candidate that is missing from the pool"


def test_f1_of_mined_pairs() -> None:
    assert score("mined_pair_f1", [[4], [], [7]], [[4, 5], [6], []]) == pytest.approx(2 * 1 / (2 + 3))
    assert score("mined_pair_f1", [[]], [[]]) == 0.0
    assert score("backward_accuracy", [3, 1], [3, 2]) == 0.5


def test_perplexity() -> None:
    assert score("perplexity", [0.0], [3]) == 1.0
    assert score("perplexity", [2 * math.log(250), math.log(250)], [2, 1]) == pytest.approx(250)  # uniform over 250
    assert score("perplexity", [1e6], [1]) == score("perplexity", [math.nan, 1.0], [1, 1]) == math.inf
    assert score("perplexity", [0.0], [0]) == 1.0, "nothing was masked"
    with pytest.raises(ValueError, match="no examples"):
        score("perplexity", [], [])


def test_f1() -> None:
    # class 0: tp 2, predicted 3, gold 2; class 1: tp 1, predicted 1, gold 2; class 3 does not occur
    assert score("f1", [0, 0, 0, 1], [0, 0, 1, 1]) == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert score("f1", [0, 0, 2], [0, 0, 0]) == pytest.approx((4 / 5 + 0) / 2), "class 1 occurs nowhere"
    assert score("f1", [1, 2], [2, 1]) == 0.0


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.joint is None])
def test_counts_add_up(name: str) -> None:
    """A cell's counts are those of its parts, and no count exceeds its bound."""
    counts, metric = drawn(name, 50), METRICS[name]
    assert metric.value is not None
    assert counts.min() >= 0
    assert counts.max() <= metric.largest_count
    assert metric.value(counts[:20].sum(axis=0) + counts[20:].sum(axis=0), 50) == pytest.approx(metric.score(counts))


@pytest.mark.parametrize("name", METRICS)
def test_influences_are_those_of_the_jackknife(name: str) -> None:
    """Leaving out one of many examples changes the score by its influence / (N - 1), to second order."""
    counts, metric = drawn(name, 400), METRICS[name]
    influences = metric.influences(counts)
    assert influences.shape == (400,)
    assert influences.mean() == pytest.approx(0, abs=1e-9)
    without = [metric.score(np.delete(counts, i, axis=0)) for i in range(400)]
    jackknife = 399 * (metric.score(counts) - np.array(without))
    np.testing.assert_allclose(influences, jackknife, atol=0.03 * np.abs(jackknife).max())
    assert np.std(influences) > 0
    np.testing.assert_allclose(metric.contributions(counts), metric.score(counts) + influences, rtol=1e-12)


def test_contributions_to_a_mean_are_its_terms() -> None:
    """To the last bit, so that intervals of accuracy do not depend on how they are computed."""
    counts = drawn("accuracy", 101)
    assert METRICS["accuracy"].contributions(counts).tolist() == counts[:, 0].tolist()
    assert METRICS["accuracy"].influences(counts).tolist() == (counts[:, 0] - np.mean(counts[:, 0] == 1)).tolist()


def test_sums_are_pairwise() -> None:
    """As of one column by itself: a table summed row by row would round otherwise."""
    nats = np.random.default_rng(1).exponential(1e-3, 100_000)
    seen: list[float] = []
    spy = Metric("spy", True, "", 1, METRICS["perplexity"].counts, lambda total, n: seen.append(total[0]) or 0.0)
    spy.score(spy.counts(nats, np.ones(len(nats))))
    assert seen == [nats.sum()]
