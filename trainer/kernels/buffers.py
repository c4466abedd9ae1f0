"""Memory for large outputs on the CPU, used again once nothing refers to it.

Fresh memory has to be faulted in page by page, which costs several times the kernel that writes it: for 32 x 128 x 1024
fp32 numbers about 20 ms beside 3. A buffer is taken again only when its storage has no other owner: no tensor, no view,
no saved tensor of a graph.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import Tensor

_SMALL_BYTES = 1 << 19  # below this the allocator keeps memory of its own
_KEPT = 6  # an ascent step has two outputs alive, its predecessor two, and lengths of batches differ
_SLACK = 1.25  # a buffer may be this much larger than what is asked for

_kept: list[torch.UntypedStorage] = []  # least recently used first
_lock = threading.Lock()
_owners: Callable[[int], int] | None = getattr(torch._C, "_storage_Use_Count", None)


def empty_like(x: Tensor) -> Tensor:
    """An uninitialised contiguous CPU tensor of x's shape and type."""
    size = x.numel() * x.element_size()
    if size < _SMALL_BYTES or _owners is None or torch.are_deterministic_algorithms_enabled():
        return torch.empty(x.shape, dtype=x.dtype)  # which deterministic mode fills with NaN
    with _lock:
        fit = (s for s in reversed(_kept) if size <= s.nbytes() <= _SLACK * size and _owners(s._cdata) == 1)
        storage = next(fit, None)  # the latest used: part of it may still be in a cache
        if storage is None:
            storage = torch.UntypedStorage(size)
            del _kept[: max(0, len(_kept) + 1 - _KEPT)]
        else:
            _kept[:] = [s for s in _kept if s is not storage]
        _kept.append(storage)
        return torch.empty(0, dtype=x.dtype).set_(storage)[: x.numel()].view(x.shape)
