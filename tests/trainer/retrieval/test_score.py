"""Matches given on either side, repeated texts, and candidates of several cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data_prep.base.errors import InputError
from trainer.retrieval import score
from trainer.retrieval.score import Side

CPU = torch.device("cpu")


def side(start: str, texts: str, matches: list[list[str]]) -> Side:
    """Rows with the keys start0, start1, ...; equal letters are equal texts, and have equal vectors."""
    vectors = torch.nn.functional.one_hot(torch.tensor([ord(text) - ord("a") for text in texts]), 6).float()
    return Side([f"{start}{at}" for at in range(len(texts))], np.arange(len(texts)), matches,
                [text.encode() for text in texts], vectors)


def test_matches_of_queries_and_of_candidates() -> None:
    queries = side("q", "abcd", [["n1", "n0"], ["gone", "n2"], [""], [""]])
    found = score.relevant_of(queries, side("n", "abc", [["q0"], ["q2", "other"], [""]]))
    assert [positions.tolist() for positions in found.positions] == [[0, 1], [2], [1], []]
    assert found.sizes.tolist() == [2, 2, 1, 0], "a match outside the pool counts"


def test_repeated_sentences_are_left_out_of_mined_pairs() -> None:
    queries, pool = side("q", "abbc", [["n0"], ["n1"], [""], ["n3"]]), side("n", "abdcc", [[""]] * 5)
    relevant = score.relevant_of(queries, pool)
    found = score.find_pairs(queries, pool, relevant, CPU, 0.5, margin=False)
    assert found.predictions == "q0\tn0\n"
    outcome = found.outcomes["mined_pair_f1"]
    assert (outcome.predicted, outcome.gold) == ([[0], [], [], []], [[0], [1], [], [3]])
    assert 0 < score.tune_threshold(queries, pool, relevant, CPU, margin=False) <= 1


def test_keys_of_a_pool_are_unique() -> None:
    one, two = side("n", "ab", [[""]] * 2), side("m", "c", [[""]])
    assert score.pool_of([one, two]).keys == ["n0", "n1", "m0"]
    with pytest.raises(InputError, match="the key 'n0' names candidates of two cells that are searched together"):
        score.pool_of([one, side("n", "c", [[""]])])
