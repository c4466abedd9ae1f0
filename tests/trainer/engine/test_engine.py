"""The process around the engine: what it does with memory on a CPU."""

from __future__ import annotations

import platform
import subprocess
import sys

import deepspeed
import pytest

from data_prep.base.errors import InputError
from trainer.config.schema import EngineSection
from trainer.engine.engine import check_engine

# In a process of its own: what other tests left in the heap would decide the result.
PROGRAM = """
import os, sys, torch
from pathlib import Path
from trainer.engine.engine import MEBIBYTE, return_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")

def tensor(mebibytes):
    return torch.ones(mebibytes * MEBIBYTE, dtype=torch.uint8)

if sys.argv[1] == "mended":
    return_freed_memory()
tensor(31)  # freeing a large block is what teaches glibc to keep the ones below its size
tensors = [tensor(8) for _ in range(8)]
before = resident()
del tensors[::2]
print((before - resident()) // MEBIBYTE)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed blocks of this size")
def test_memory_between_two_tensors_goes_back_when_it_is_freed() -> None:
    freed = {}
    for case in ("mended", "as it is"):
        done = subprocess.run([sys.executable, "-c", PROGRAM, case], check=True, capture_output=True, text=True)
        freed[case] = int(done.stdout.split()[-1])
    assert freed["mended"] >= 4 * 8 - 3
    assert freed["as it is"] <= 3


def test_fp16_needs_a_device_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, zero1 = EngineSection(config="zero1", precision="fp16"), {"zero_optimization": {"stage": 1}}
    accelerator = type(deepspeed.accelerator.get_accelerator())
    monkeypatch.setattr(accelerator, "is_fp16_supported", lambda self: True)
    check_engine(asked, zero1)
    monkeypatch.setattr(accelerator, "is_fp16_supported", lambda self: False)
    with pytest.raises(InputError, match="this device has no fp16; set it to bf16 or fp32"):
        check_engine(asked, zero1)
