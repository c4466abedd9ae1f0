"""Fused dropout: the documented bits, torch's distribution and gradient, whatever the layout, type and threads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainer.kernels import cpu, philox

pytestmark = pytest.mark.skipif(cpu.why_not() is not None, reason=str(cpu.why_not()))
SEED = torch.tensor(0x1234_5678_9ABC_DEF)


def kept(count: int, rate: float) -> Tensor:
    """The documented mask: block by block of 64 counters, of each word first the low halves, then the high ones."""
    blocks = -(-count // 512)
    words = philox.counter_bits(int(SEED), 0, torch.tensor([0]), 64 * blocks, 4, philox.STREAM_DROPOUT)
    words = words.view(blocks, 64, 4).transpose(1, 2)
    return torch.stack([words & 0xFFFF, words >> 16], dim=2).flatten()[:count] >= round(rate * cpu.LEVELS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(0, 3), (7,), (2, 255), (3, 5, 1111)])
def test_elements_are_dropped_by_the_documented_bits(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=dtype)
    for rate in (0.1, 0.5):
        dropped = round(rate * cpu.LEVELS)
        work = torch.promote_types(dtype, torch.float32)
        scaled = x.to(work) * torch.tensor(cpu.LEVELS / (cpu.LEVELS - dropped), dtype=work)
        expected = torch.where(kept(x.numel(), rate).view(shape), scaled, 0).to(dtype)
        assert torch.equal(cpu.dropout(x, rate, SEED), expected)


def test_the_number_of_threads_and_the_layout_change_nothing() -> None:
    x = torch.randn(64, 33, 40)
    expected = cpu.dropout(x, 0.3, SEED)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(cpu.dropout(x, 0.3, SEED), expected)
    finally:
        torch.set_num_threads(before)
    turned = x.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(cpu.dropout(turned, 0.3, SEED), expected)


def test_rates_at_the_ends() -> None:
    x = torch.randn(5, 9)
    assert torch.equal(cpu.dropout(x, 0.0, SEED), x)
    assert not cpu.dropout(x, 1.0, SEED).any()
    with pytest.raises(ValueError, match="floating-point numbers on the CPU"):
        cpu.dropout(torch.ones(3, dtype=torch.int64), 0.5, SEED)


def test_torch_accepts_the_registration() -> None:
    x = torch.randn(3, 700, requires_grad=True)
    torch.library.opcheck(torch.ops.robust_cpu.dropout.default, (x, 0.25, SEED))
    y = torch.ops.robust_cpu.dropout(x, 0.25, SEED)
    upper = torch.randn(700, 3).T  # not contiguous
    (grad,) = torch.autograd.grad((y * upper).sum(), x)
    assert torch.equal(grad, torch.where(y != 0, upper * torch.tensor(4 / 3), 0))
