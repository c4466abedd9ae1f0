"""The random numbers: Philox itself against published vectors, and what counters promise."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from trainer.kernels import philox

ONES = 0xFFFFFFFF
# Known answers of Random123 (kat_vectors, philox4x32, 10 rounds): counter, key, output.
VECTORS = [
    ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES << 32) | ONES, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0x299F31D0 << 32) | 0xA4093822,
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS, ids=["zeros", "ones", "pi"])
def test_known_answers(counter: tuple[int, ...], key: int, expected: tuple[int, ...]) -> None:
    found = philox.philox_4x32(tuple(torch.tensor([word]) for word in counter), key)  # type: ignore[arg-type]
    assert tuple(int(word) for word in found) == expected


def test_the_counter_is_the_documented_one() -> None:
    seed, step, token, dim, stream, example = 5 | 9 << 32, 3, 2, 6, philox.STREAM_RADIUS + 1, 7 | 5 << 32
    words = philox.counter_bits(seed, step, torch.tensor([example]), 4, 10, stream)
    counter = (token * 3 + dim // 4, example & ONES, step, stream | 5 << 16)
    expected = philox.philox_4x32(tuple(torch.tensor([word]) for word in counter), seed)  # type: ignore[arg-type]
    assert int(words[0, token, dim]) == int(expected[dim % 4])


def test_words_belong_to_the_example_and_not_to_its_batch() -> None:
    ids = torch.tensor([5, 17, 2 << 40, 9])
    words = philox.counter_bits(1, 2, ids, 6, 10, 0)
    assert torch.equal(philox.counter_bits(1, 2, ids.flip(0), 6, 10, 0), words.flip(0))
    assert torch.equal(philox.counter_bits(1, 2, ids[1:2], 6, 10, 0), words[1:2])
    assert torch.equal(philox.counter_bits(1, 2, ids, 9, 10, 0)[:, :6], words)


def test_everything_that_names_a_number_changes_it() -> None:
    def draw(seed: int = 1, step: int = 2, example: int = 3, stream: int = 0) -> torch.Tensor:
        return philox.counter_bits(seed, step, torch.tensor([example]), 8, 64, stream).flatten()

    kinds = [draw(), draw(seed=2), draw(seed=1 + (1 << 32)), draw(step=3), draw(example=4),
             draw(example=3 + (1 << 40)), draw(stream=1), draw(stream=philox.STREAM_RADIUS)]
    for one in range(len(kinds)):
        for other in range(one):
            same = int((kinds[one] == kinds[other]).sum())
            assert same == 0, (one, other)
            correlation = torch.corrcoef(torch.stack([kinds[one], kinds[other]]).double())[0, 1]
            assert abs(correlation) < 5 / kinds[0].numel() ** 0.5


def test_uniform_is_uniform_and_never_an_end() -> None:
    u = philox.uniform(philox.counter_bits(0, 0, torch.arange(50), 10, 64, 0)).flatten()
    assert stats.kstest(u.numpy(), "uniform").pvalue > 0.01
    ends = philox.uniform(torch.tensor([0, ONES]))
    assert float(ends[0]) > 0
    assert float(ends[1]) < 1


def test_gaussian_has_the_moments_of_a_gaussian() -> None:
    z = philox.gaussian(0, 0, torch.arange(50), 10, 65, 0)
    assert z.shape == (50, 10, 65)
    assert torch.isfinite(z).all()
    assert stats.kstest(z.flatten().numpy(), "norm").pvalue > 0.01
    pairs = torch.corrcoef(torch.stack([z[..., 0:64:2].flatten(), z[..., 1:64:2].flatten()]))[0, 1]
    assert abs(pairs) < 5 / (50 * 10 * 32) ** 0.5  # the two numbers of one Box-Muller pair
