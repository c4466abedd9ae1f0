"""Collectives over all ranks of a run; with one rank they return at once and need no process group.

Every rank must call the same ones in the same order. `torch.distributed` must be initialised where there are several.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainer.distributed.ranks import Ranks


def all_reduce_sum(values: Tensor, ranks: Ranks) -> Tensor:
    """Sum `values` over all ranks, in place, and return it."""
    if ranks.world_size > 1:
        torch.distributed.all_reduce(values)
    return values


def all_reduce_sum_async(values: Tensor, ranks: Ranks) -> Callable[[], Tensor]:
    """Start to sum `values` over all ranks, overlapped with what follows; the result waits and returns the sum."""
    work = torch.distributed.all_reduce(values, async_op=True) if ranks.world_size > 1 else None

    def wait() -> Tensor:
        if work is not None:
            work.wait()
        return values

    return wait


def gather_objects(value: Any, ranks: Ranks) -> list[Any]:
    """Gather the `value` of every rank, in rank order, on every rank."""
    if ranks.world_size == 1:
        return [value]
    gathered: list[Any] = [None] * ranks.world_size
    torch.distributed.all_gather_object(gathered, value)
    return gathered


def same_on_all(value: Any, ranks: Ranks) -> Any:
    """Return the main rank's `value` on every rank."""
    return gather_objects(value, ranks)[0]


def barrier(ranks: Ranks) -> None:
    """Wait until every rank is here."""
    if ranks.world_size > 1:
        torch.distributed.barrier()
