"""Masked language modelling: masking is a function of the example, losses are those of the masked tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data_prep.base.errors import InputError
from data_prep.shards.template import InputTemplate
from trainer.data.collate import collate
from trainer.kinds import Masking
from trainer.kinds.batch import Batch
from trainer.kinds.mlm import IGNORED, decode, gold, loss_count, losses, mask
from trainer.kinds.tokens import Tokens

TOKENS = Tokens(InputTemplate(single="0 A 2", pair="0 A 2 2 B 2"), pad_id=1, mask_id=99, unk_id=3, vocab_size=100)
EMPTY = np.empty(0, dtype=np.int32)


def random_rows(count: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(seed)
    return [(generator.integers(4, 98, generator.integers(1, 40)), EMPTY) for _ in range(count)]


def masked_batch(rows: list[tuple[np.ndarray, np.ndarray]], keys: np.ndarray, share: float = 0.15, seed: int = 0,
                 epoch: int = 0) -> Batch:
    return mask(collate(rows, keys, TOKENS, 64), TOKENS, Masking(share, seed), epoch)


def test_masking_shares() -> None:
    rows = random_rows(3000)
    clean = collate(rows, np.arange(3000), TOKENS, 64)
    batch = masked_batch(rows, np.arange(3000))
    chosen = batch.targets["labels"] != IGNORED
    assert torch.equal(batch.targets["labels"][chosen], clean.input_ids[chosen])
    assert torch.equal(batch.input_ids[~chosen], clean.input_ids[~chosen])
    assert not (chosen & ~clean.content_mask).any()
    assert torch.equal(batch.content_mask, clean.content_mask & (batch.input_ids != 99)), "a mask is not perturbed"
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
    batch = mask(collate(rows, np.arange(400), bert, 64), bert, Masking(0.5, 0), 0)
    assert batch.input_ids[:, 1:41].unique().tolist() == [1, 2, 3, 4, 5, 9, 10, 11]


def test_tokenizers_without_a_mask_or_an_unknown_token() -> None:
    template = InputTemplate(single="7 A 8", pair="7 A 8 B 8")
    tokens = Tokens(template, pad_id=9, mask_id=None, unk_id=None, vocab_size=12)
    assert tokens.not_words == (7, 8, 9)
    batch = collate([(np.full(3, 10), EMPTY)], np.arange(1), tokens, 64)
    assert batch.content_mask.tolist() == [[False, True, True, True, False]]
    with pytest.raises(InputError, match="no mask token"):
        mask(batch, tokens, Masking(0.5, 0), 0)


def test_masking_belongs_to_the_example_and_the_epoch() -> None:
    rows, keys = random_rows(20), np.arange(100, 120)
    whole = masked_batch(rows, keys)
    alone = masked_batch(rows[4:5], keys[4:5])
    length = alone.input_ids.shape[1]
    assert torch.equal(whole.input_ids[4:5, :length], alone.input_ids)
    assert torch.equal(whole.targets["labels"][4:5, :length], alone.targets["labels"])
    turned = masked_batch(rows[::-1], keys[::-1].copy())
    assert torch.equal(turned.targets["labels"].flip(0), whole.targets["labels"])
    for other in (masked_batch(rows, keys, epoch=1), masked_batch(rows, keys, seed=1), masked_batch(rows, keys + 1)):
        assert not torch.equal(other.targets["labels"], whole.targets["labels"])


def test_an_example_without_content_predicts_nothing() -> None:
    batch = masked_batch([(EMPTY, EMPTY), (np.array([50]), EMPTY)], np.array([1, 2]), share=0.0)
    assert batch.targets["labels"].tolist() == [[IGNORED] * 3, [IGNORED, 50, IGNORED]]
    assert loss_count(batch) == 1
    assert gold(batch).tolist() == [0, 1]
    logits = torch.zeros(1, 100)
    assert losses(logits, batch).tolist() == [0, pytest.approx(np.log(100))]
    assert decode(logits, batch).tolist() == [0, pytest.approx(np.log(100))]
