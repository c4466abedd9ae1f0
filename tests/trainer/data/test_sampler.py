"""The order of examples: a function of seed and epoch alone, everything once per epoch, like lengths together."""

from __future__ import annotations

import numpy as np
import pytest

from data_prep.base.errors import InputError
from trainer.data import sampler

ROWS, SIZE = 103, 12
LENGTHS = np.random.default_rng(0).integers(5, 60, ROWS)


def flat(**changes: int) -> list[tuple[int, np.ndarray]]:
    settings = {"seed": 3, "first_step": 0, "steps": 20, "rank": 0, "world_size": 1, "accumulation": 1, **changes}
    return list(sampler.micro_batches(LENGTHS, SIZE, bucket_by_length=True, **settings))


@pytest.mark.parametrize("bucket", [True, False])
def test_an_epoch_sees_everything_once_but_for_the_rest(bucket: bool) -> None:
    batches = sampler.epoch_batches(LENGTHS, SIZE, 1, 0, bucket)
    assert batches.shape == (ROWS // SIZE, SIZE)
    assert len(np.unique(batches)) == batches.size


@pytest.mark.parametrize("bucket", [True, False])
def test_the_order_is_a_function_of_seed_and_epoch(bucket: bool) -> None:
    def order(seed: int, epoch: int) -> np.ndarray:
        return sampler.epoch_batches(LENGTHS, SIZE, seed, epoch, bucket)

    assert np.array_equal(order(1, 0), order(1, 0))
    assert not np.array_equal(order(1, 0), order(1, 1))
    assert not np.array_equal(order(1, 0), order(2, 0))
    assert not np.array_equal(order(1, 2), order(2, 1))
    left_out = [set(range(ROWS)) - set(order(1, epoch).flatten()) for epoch in range(3)]
    assert left_out[0] != left_out[1] != left_out[2]  # no example is left out for good


@pytest.mark.parametrize(("world", "accumulation"), [(1, 2), (2, 1), (2, 3), (3, 4), (12, 1)])
def test_ranks_and_accumulation_share_out_the_same_global_batches(world: int, accumulation: int) -> None:
    whole = flat()
    parts = [flat(rank=rank, world_size=world, accumulation=accumulation) for rank in range(world)]
    for update, (epoch, batch) in enumerate(whole):
        mine = [part[update * accumulation + step] for part in parts for step in range(accumulation)]
        assert {found_epoch for found_epoch, _ in mine} == {epoch}
        assert {len(indices) for _, indices in mine} == {SIZE // world // accumulation}
        assert sorted(np.concatenate([indices for _, indices in mine])) == sorted(batch)


def test_starting_in_the_middle_gives_the_tail() -> None:
    for (epoch, one), (other_epoch, other) in zip(flat()[11:], flat(first_step=11), strict=True):
        assert epoch == other_epoch
        assert np.array_equal(one, other)


def test_epochs_follow_each_other_without_a_gap() -> None:
    epochs = [epoch for epoch, _ in flat()]
    assert epochs == [update // (ROWS // SIZE) for update in range(20)]


def test_batches_of_like_length_hold_little_padding() -> None:
    lengths = np.random.default_rng(1).gamma(4, 10, 5000).astype(int) + 8

    def padding(bucket: bool, parts: int = 1) -> float:
        batches = sampler.epoch_batches(lengths, 32, 0, 0, bucket)
        longest = lengths[batches].reshape(-1, 32 // parts).max(axis=1, keepdims=True)
        return 1 - lengths[batches].sum() / (longest * np.ones(32 // parts)).sum()

    assert padding(True) < 0.05 < 0.3 < padding(False)
    assert padding(True, 8) < padding(True)  # micro-batches cut from a sorted batch are alike, too
    batches = sampler.epoch_batches(lengths, 32, 0, 0, True)
    means = lengths[batches].mean(axis=1)
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3  # short and long batches come mixed


def test_too_few_rows_for_one_batch() -> None:
    with pytest.raises(InputError, match=r"5 rows, fewer than batch.size 8"):
        sampler.steps_per_epoch(5, 8)
