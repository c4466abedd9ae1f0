"""The process around the engine: what it does with memory on a CPU."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest
import torch

from trainer.engine import MEBIBYTE, return_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed blocks of this size")
def test_memory_between_two_tensors_goes_back_when_it_is_freed() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def tensor(mebibytes: int) -> torch.Tensor:
        return torch.ones(mebibytes * MEBIBYTE, dtype=torch.uint8)

    return_freed_memory()
    tensor(31)  # freeing a large block is what teaches glibc to keep the ones below its size
    tensors = [tensor(8) for _ in range(8)]
    before = resident()
    del tensors[::2]
    assert before - resident() > 4 * 8 * MEBIBYTE * 0.9
