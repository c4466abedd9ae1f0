"""Collectives of two gloo processes, and of one process without a process group."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import multiprocessing

from trainer.distributed.collectives import all_reduce_sum, all_reduce_sum_async, barrier, gather_objects, same_on_all
from trainer.distributed.ranks import Ranks


def _one_rank(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    ranks = Ranks(rank, 2, rank)
    later = all_reduce_sum_async(torch.tensor([1.0, rank]), ranks)
    total = all_reduce_sum(torch.tensor([rank + 1.0]), ranks).tolist()
    found: dict[str, Any] = {"sum": total, "later": later().tolist(), "same": same_on_all(f"of {rank}", ranks),
                             "gathered": gather_objects({"rank": rank}, ranks)}
    (Path(folder) / f"here-{rank}").touch()
    barrier(ranks)
    found["met"] = (Path(folder) / f"here-{1 - rank}").exists()
    torch.save(found, f"{folder}/found-{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_ranks(tmp_path: Path) -> None:
    multiprocessing.spawn(_one_rank, (str(tmp_path),), nprocs=2)
    expected = {"sum": [3.0], "later": [2.0, 1.0], "gathered": [{"rank": 0}, {"rank": 1}], "same": "of 0", "met": True}
    assert [torch.load(tmp_path / f"found-{rank}.pt") for rank in (0, 1)] == [expected] * 2


def test_one_rank_needs_no_process_group() -> None:
    alone, values = Ranks(0, 1, 0), torch.tensor([2.0])
    assert all_reduce_sum(values, alone) is values
    assert all_reduce_sum_async(values, alone)() is values
    assert (gather_objects("a", alone), same_on_all("a", alone)) == (["a"], "a")
    barrier(alone)
