"""Batches equal what one would write by hand, and masking is a function of the example."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data_prep.shards.template import InputTemplate
from trainer.data.collate import Masking, Tokens, collate, mask_tokens
from trainer.kinds.batch import IGNORED, Batch

TOKENS = Tokens(InputTemplate(single="0 A 2", pair="0 A 2 2 B 2"), pad_id=1, mask_id=99, unk_id=3, vocab_size=100)
EMPTY = np.empty(0, dtype=np.int32)


def test_a_batch_by_hand() -> None:
    rows = [(np.array([10, 11]), np.array([12])), (np.array([3]), EMPTY)]
    batch = collate(rows, np.array([1, -1]), np.array([7, 1 << 40]), TOKENS, max_length=16)
    assert batch.input_ids.tolist() == [[0, 10, 11, 2, 2, 12, 2], [0, 3, 2, 1, 1, 1, 1]]
    assert batch.attention_mask.tolist() == [[True] * 7, [True] * 3 + [False] * 4]
    assert batch.content_mask.int().tolist() == [[0, 1, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0, 0]]  # <unk> is content
    assert batch.labels.tolist() == [1, -1]
    assert batch.example_ids.tolist() == [7, 1 << 40]
    assert int(batch.predictions) == 2


def test_truncation_and_fixed_padding() -> None:
    rows = [(np.arange(10, 20), np.arange(30, 33))]
    assert collate(rows, np.zeros(1), np.zeros(1), TOKENS, max_length=10).input_ids.tolist() \
        == [[0, 10, 11, 12, 2, 2, 30, 31, 32, 2]]
    wide = collate(rows, np.zeros(1), np.zeros(1), TOKENS, max_length=10, pad_to=14)
    assert wide.input_ids.shape == (1, 14)
    assert wide.attention_mask.sum() == 10


def random_rows(count: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(seed)
    return [(generator.integers(4, 98, generator.integers(1, 40)), EMPTY) for _ in range(count)]


def masked_batch(rows: list[tuple[np.ndarray, np.ndarray]], keys: np.ndarray, share: float = 0.15, seed: int = 0,
                 epoch: int = 0) -> Batch:
    return collate(rows, np.zeros(len(rows)), keys, TOKENS, 64, masking=Masking(share, seed), epoch=epoch)


def test_masking_shares() -> None:
    rows = random_rows(3000)
    clean = collate(rows, np.zeros(3000), np.arange(3000), TOKENS, 64)
    batch = masked_batch(rows, np.arange(3000))
    chosen = batch.labels != IGNORED
    assert torch.equal(batch.labels[chosen], clean.input_ids[chosen])
    assert torch.equal(batch.input_ids[~chosen], clean.input_ids[~chosen])
    assert not (chosen & ~clean.content_mask).any()
    assert chosen.any(dim=1).all()  # every example predicts something
    n, content = int(chosen.sum()), int(clean.content_mask.sum())
    forced = int((clean.content_mask.sum(1) < 8).sum())  # short rows are forced to predict one
    assert 0.15 - 0.01 < n / content < 0.15 + 0.01 + forced / content
    new, old = batch.input_ids[chosen], clean.input_ids[chosen]
    assert float((new == 99).float().mean()) == pytest.approx(0.8, abs=5 * (0.16 / n) ** 0.5)
    assert float((new == old).float().mean()) == pytest.approx(0.1, abs=5 * (0.09 / n) ** 0.5 + 0.1 / 90)
    others = new[(new != 99) & (new != old)]
    assert others.min() == 4  # XLM-R: 0 to 3 and the last id are special
    assert others.max() == 98
    assert len(others.unique()) == 95


def test_random_words_are_no_special_tokens_wherever_these_stand() -> None:
    bert = Tokens(InputTemplate(single="7 A 8", pair="7 A 8 B:1 8:1"), pad_id=0, mask_id=9, unk_id=6, vocab_size=12)
    rows = [(np.full(40, 10), EMPTY) for _ in range(400)]
    batch = collate(rows, np.zeros(400), np.arange(400), bert, 64, masking=Masking(0.5, 0))
    assert batch.input_ids[:, 1:41].unique().tolist() == [1, 2, 3, 4, 5, 9, 10, 11]


def test_masking_belongs_to_the_example_and_the_epoch() -> None:
    rows, keys = random_rows(20), np.arange(100, 120)
    whole = masked_batch(rows, keys)
    alone = masked_batch(rows[4:5], keys[4:5])
    length = alone.input_ids.shape[1]
    assert torch.equal(whole.input_ids[4:5, :length], alone.input_ids)
    assert torch.equal(whole.labels[4:5, :length], alone.labels)
    turned = masked_batch(rows[::-1], keys[::-1].copy())
    assert torch.equal(turned.labels.flip(0), whole.labels)
    for other in (masked_batch(rows, keys, epoch=1), masked_batch(rows, keys, seed=1), masked_batch(rows, keys + 1)):
        assert not torch.equal(other.labels, whole.labels)


def test_an_example_without_content_predicts_nothing() -> None:
    ids = torch.tensor([[0, 2, 1], [0, 50, 2]])
    content = torch.tensor([[False] * 3, [False, True, False]])
    _, labels = mask_tokens(ids, content, torch.tensor([1, 2]), TOKENS, Masking(0.0, 0), 0)
    assert labels.tolist() == [[IGNORED] * 3, [IGNORED, 50, IGNORED]]
