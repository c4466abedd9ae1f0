"""Counter-based random numbers: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011), in plain torch.

A random number is a pure function of its counter, so it does not depend on the batch composition, the number of ranks
or a resume. The counter encodes example, token and dimension:

    key     = run seed (64 bit)
    counter = (token * ceil(dims / 4) + dim // 4,  example id,  step,  stream)

and the lane dim % 4 picks one of the four 32-bit words. `stream` separates uses: noise, radii, masking, mixing,
smoothing, tasks, dropout.
Shapes: B batch, L length, D dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor

_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = 0xFFFFFFFF
ROUNDS = 10

# Streams, 16 bits: four for the purpose, twelve for the draw.
STREAM_NOISE = 0 << 12
STREAM_RADIUS = 1 << 12
STREAM_MASKING = 2 << 12
STREAM_MIXING = 3 << 12
STREAM_SMOOTHING = 4 << 12  # randomized smoothing at inference; `step` is the sample index
STREAM_TASKS = 5 << 12  # task of a part of a step (`trainer.data.mixture`): counter (part, 0, step, stream)
STREAM_DROPOUT = 6 << 12  # `csrc/dropout.h`: two elements to a word, the seed drawn for each mask


def philox_4x32(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ten Philox rounds on int64 tensors of unsigned 32-bit words, broadcast against each other."""
    c0, c1, c2, c3 = torch.broadcast_tensors(*counter)
    k0, k1 = key & _LOW, (key >> 32) & _LOW
    for _ in range(ROUNDS):
        # int64 products wrap with all 64 bits correct; the shift is arithmetic, hence the mask.
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (
            ((p1 >> 32) & _LOW) ^ c1 ^ k0,
            p1 & _LOW,
            ((p0 >> 32) & _LOW) ^ c3 ^ k1,
            p0 & _LOW,
        )
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


def counter_bits(seed: int, step: int, ids_B: Tensor, length: int, dims: int, stream: int) -> Tensor:
    """Random words for every (example, token, dimension): int64 of shape (B, L, D), values in [0, 2**32).

    ids_B: int64 example ids in [0, 2**48); equal ids get equal words in any batch. step: non-negative; only its low
    32 bits count.
    """
    blocks = (dims + 3) // 4
    position = torch.arange(length * blocks, dtype=torch.int64, device=ids_B.device).view(1, length, blocks)
    ids = ids_B.view(-1, 1, 1)
    low_step = torch.tensor(step & _LOW, dtype=torch.int64, device=ids_B.device)
    words = philox_4x32((position, ids & _LOW, low_step, stream | (((ids >> 32) & 0xFFFF) << 16)), seed)
    return torch.stack(words, dim=-1).view(ids_B.numel(), length, 4 * blocks)[..., :dims]


def uniform(bits: Tensor) -> Tensor:
    """Map words to float32 in the open interval (0, 1): the 23 top bits, centred in their cells."""
    return ((bits >> 9).to(torch.float32) + 0.5) * (1.0 / (1 << 23))


def gaussian(seed: int, step: int, ids_B: Tensor, length: int, dims: int, stream: int) -> Tensor:
    """Standard normal float32 of shape (B, L, D), two per pair of words (Box and Muller 1958)."""
    bits = counter_bits(seed, step, ids_B, length, dims + dims % 2, stream)
    u = uniform(bits).unflatten(-1, (-1, 2))
    radius = torch.sqrt(-2.0 * torch.log(u[..., 0]))
    angle = (2.0 * torch.pi) * u[..., 1]
    return torch.stack((radius * torch.cos(angle), radius * torch.sin(angle)), dim=-1).flatten(-2)[..., :dims]
