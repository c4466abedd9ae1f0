"""Ids and assembly against the tokenizer's own calls."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from data_prep.kinds.segments import Encoded, encode_rows
from data_prep.shards.assemble import assemble
from data_prep.tokenizer import load_tokenizer
from tests.data_prep.conftest import sentences


def ids_of(encoded: Encoded, i: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = (s.values[s.offsets[i] : s.offsets[i + 1]] for s in (encoded.first, encoded.second))
    return first, second


@pytest.mark.parametrize("max_length", [8, 9, 16, 17, 31, 64, 128])
def test_cut_and_assembled_rows_equal_the_tokenizers_own(tokenizer_folder: Path, max_length: int) -> None:
    tokenizer = load_tokenizer(str(tokenizer_folder))
    draw = random.Random(max_length)
    first = [" ".join(draw.choices(sentences(50), k=draw.choice([1, 1, 3, 12]))) for _ in range(300)]
    second = [" ".join(draw.choices(sentences(50), k=draw.choice([0, 1, 1, 3, 12]))) for _ in range(300)]
    first[:3], second[:3] = [" ", "dog " * 200, "dog " * 200], ["the dog", "dog " * 200, "dog " * 199]
    encoded = encode_rows(tokenizer.backend_tokenizer, range(300), first, second, [0] * 300, max_length)
    truncated = 0
    for i, (a, b) in enumerate(zip(first, second, strict=True)):
        own = tokenizer(a, b or None, truncation="longest_first", max_length=max_length)["input_ids"]
        built = assemble(*ids_of(encoded, i), max_length, tokenizer.cls_token_id, tokenizer.sep_token_id)
        assert built.tolist() == own, (i, a, b)
        assert encoded.lengths[i] == len(own)
        truncated += len(tokenizer(a, b or None)["input_ids"]) > max_length
    assert encoded.counts["truncated"] == truncated


@pytest.mark.parametrize("max_length", [8, 9, 32, 33])
def test_assemble_any_two_lengths(tokenizer_folder: Path, max_length: int) -> None:
    tokenizer = load_tokenizer(str(tokenizer_folder))
    backend = tokenizer.backend_tokenizer
    piece = tokenizer.tokenize("dog")
    assert len(piece) == 1
    backend.enable_truncation(max_length, strategy="longest_first")
    for n_first in range(0, 2 * max_length, 3):
        for n_second in range(1, 2 * max_length, 2):
            own = backend.encode("dog " * n_first, "cat " * n_second).ids
            first = [tokenizer.convert_tokens_to_ids("▁dog")] * n_first
            second = [tokenizer.convert_tokens_to_ids("▁cat")] * n_second
            assert assemble(first, second, max_length, 0, 2).tolist() == own


def test_assemble_takes_lists_and_arrays() -> None:
    expected = [0, 5, 6, 2, 2, 7, 2]
    assert assemble([5, 6], [7], 16, 0, 2).tolist() == expected
    assert assemble(np.array([5, 6], dtype=np.int32), np.array([7]), 16, 0, 2).tolist() == expected
    assert assemble([5, 6], [], 16, 0, 2).tolist() == [0, 5, 6, 2]
    assert assemble([5, 6, 7], [], 4, 0, 2).tolist() == [0, 5, 6, 2]
