"""Rates of matrix products and copies on this machine, its name, and a clock that waits for its device."""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch

MATMUL = {"cuda": (8192, 8192, 8192), "cpu": (1536, 1024, 1024)}
COPY_BYTES = 1 << 27


def now(device: torch.device) -> float:
    """Seconds on a clock, once all that was asked of `device` is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def name_of(device: torch.device) -> str:
    """The device by name, as a table's title says it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large matrix product of random numbers: the median of ten, after two that warm up."""
    rows, inner, columns = MATMUL[device.type]
    left, right = (torch.randn(shape, device=device).to(dtype) for shape in ((rows, inner), (inner, columns)))
    seconds = []
    for _ in range(12):
        begin = now(device)
        for _ in range(5):
            left @ right
        seconds.append((now(device) - begin) / 5)
    return 2 * rows * inner * columns / float(np.median(seconds[2:]))


def measure_bandwidth(device: torch.device) -> float:
    """Bytes/s read and written by a copy in the device's memory."""
    source = torch.zeros(COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(4):
        start = now(device)
        target.copy_(source)
        seconds.append(now(device) - start)
    return 2 * COPY_BYTES / statistics.median(seconds[1:])
