"""Versions, the device, and its ceilings: rate of a matrix product, bandwidth of a copy."""

from __future__ import annotations

import importlib
import platform

import torch

from trainer.size.machine import matmul_rate, measure_bandwidth, name_of


def main() -> None:
    """Print them."""
    names = ("deepspeed", "transformers", "datasets", "triton", "pydantic", "fire", "accelerate", "numpy")
    versions = {name: getattr(importlib.import_module(name), "__version__", "?") for name in names}
    print(f"Python {platform.python_version()}, torch {torch.__version__}",
          ", ".join(f"{name} {found}" for name, found in versions.items()), sep=", ")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(name_of(device))
    for dtype in (torch.float32, torch.bfloat16):
        print(f"matmul {dtype}: {matmul_rate(device, dtype) / 1e12:.4g} TFLOP/s")
    print(f"copy: {measure_bandwidth(device) / 1e9:.4g} GB/s, bytes read and written")


if __name__ == "__main__":
    main()
