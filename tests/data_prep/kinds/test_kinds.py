"""Encoded rows against the tokenizer's own calls."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from data_prep.kinds.segments import Encoded, encode_rows
from data_prep.shards.assemble import assemble
from data_prep.shards.template import derive_template
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
    template = derive_template(tokenizer)
    encoded = encode_rows(tokenizer.backend_tokenizer, range(300), first, second, [0] * 300, max_length, template)
    truncated = 0
    for i, (a, b) in enumerate(zip(first, second, strict=True)):
        own = tokenizer(a, b or None, truncation="longest_first", max_length=max_length)["input_ids"]
        built = assemble(*ids_of(encoded, i), max_length, template)
        assert built.tolist() == own, (i, a, b)
        assert encoded.lengths[i] == len(own)
        truncated += len(tokenizer(a, b or None)["input_ids"]) > max_length
    assert encoded.counts["truncated"] == truncated
