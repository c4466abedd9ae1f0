"""Memory that is used again: never while anything can still see it."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.kernels import buffers

SHAPE = (64, 64, 64)


def fresh() -> Tensor:
    return buffers.empty_like(torch.empty(SHAPE))


def test_what_is_alive_is_never_taken_again() -> None:
    kept = fresh()
    places = {kept.data_ptr()}
    view = fresh()[3].flatten()
    saved = fresh().requires_grad_(True)
    graph = saved.square()
    places |= {view.untyped_storage().data_ptr(), saved.data_ptr()}
    assert len(places) == 3
    del saved  # the graph still holds it
    for _ in range(20):
        assert fresh().data_ptr() not in places
    assert graph.grad_fn is not None


def test_what_is_free_is_taken_again_and_little_is_kept() -> None:
    several = [fresh() for _ in range(20)]
    assert len({tensor.data_ptr() for tensor in several}) == 20
    places = {tensor.data_ptr() for tensor in several}
    assert len(buffers._kept) <= buffers._KEPT
    del several
    assert fresh().data_ptr() in places
    assert fresh().is_contiguous()
    assert fresh().shape == SHAPE


def test_small_tensors_and_deterministic_mode_get_fresh_memory() -> None:
    before = list(buffers._kept)
    buffers.empty_like(torch.empty(2, 3, 4))
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.isnan(fresh()).all()
    finally:
        torch.use_deterministic_algorithms(False)
    assert [id(s) for s in before] == [id(s) for s in buffers._kept]
