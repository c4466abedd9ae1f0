"""Batches equal what one would write by hand, padded and truncated."""

from __future__ import annotations

import numpy as np

from data_prep.shards.template import InputTemplate
from trainer.data.collate import collate
from trainer.kinds.languages import language_number
from trainer.kinds.tokens import Tokens

TOKENS = Tokens(InputTemplate(single="0 A 2", pair="0 A 2 2 B 2"), pad_id=1, mask_id=99, unk_id=3, vocab_size=100)
EMPTY = np.empty(0, dtype=np.int32)


def test_a_batch_by_hand() -> None:
    rows = [(np.array([10, 11]), np.array([12])), (np.array([3]), EMPTY)]
    batch = collate(rows, np.array([7, 1 << 40]), TOKENS, max_length=16)
    assert batch.input_ids.tolist() == [[0, 10, 11, 2, 2, 12, 2], [0, 3, 2, 1, 1, 1, 1]]
    assert batch.attention_mask.tolist() == [[True] * 7, [True] * 3 + [False] * 4]
    assert batch.content_mask.int().tolist() == [[0, 1, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0, 0]]  # <unk> is content
    assert batch.example_ids.tolist() == [7, 1 << 40]
    assert batch.targets == {}, "of the task's kind"
    assert batch.languages is None


def test_languages_of_first_and_second_texts() -> None:
    """The separator before the second text has the second's language; a single text has one, whatever is given."""
    rows = [(np.array([10, 11]), np.array([12])), (np.array([3]), EMPTY), (np.arange(10, 18), np.arange(30, 39))]
    languages = np.array([[5, 7], [5, 7], [7, 5]])
    batch = collate(rows, np.zeros(3), TOKENS, max_length=10, pad_to=11, languages=languages)
    assert batch.languages is not None
    assert batch.languages.tolist() == [
        [5, 5, 5, 7, 7, 7, 7, 0, 0, 0, 0], [5, 5, 5, 0, 0, 0, 0, 0, 0, 0, 0], [7, 7, 7, 7, 5, 5, 5, 5, 5, 5, 0]]
    alike = collate(rows[:1], np.zeros(1), TOKENS, max_length=10, pad_to=8, languages=np.array([[9, 9]])).languages
    assert alike is not None
    assert alike.tolist() == [[9] * 7 + [0]]
    assert language_number("zh_Hans") == language_number("zh-TW") == language_number("zh") == 0x7A68
    assert language_number("zha") != language_number("zh") != language_number("hz")
    assert language_number("a" * 100) < 2**63


def test_truncation_and_fixed_padding() -> None:
    rows = [(np.arange(10, 20), np.arange(30, 33))]
    assert collate(rows, np.zeros(1), TOKENS, max_length=10).input_ids.tolist() \
        == [[0, 10, 11, 12, 2, 2, 30, 31, 32, 2]]
    wide = collate(rows, np.zeros(1), TOKENS, max_length=10, pad_to=14)
    assert wide.input_ids.shape == (1, 14)
    assert wide.attention_mask.sum() == 10
