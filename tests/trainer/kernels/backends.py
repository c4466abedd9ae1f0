"""The backends that can be tested on this machine, and how far from `reference` in float64 each storage type may be."""

from __future__ import annotations

import importlib.util
import os

import pytest
import torch

from trainer.kernels import dispatch

# The one table of tolerances: |found - exact| <= RELATIVE * |exact| + ABSOLUTE * (the largest entry there can be).
# Half types are rounded once, at the end; fp32 sums are of up to 8192 squares; gaussian noise is fp32 in every type.
RELATIVE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}
ABSOLUTE = {torch.float64: 1e-14, torch.float32: 2e-7, torch.bfloat16: 2e-7, torch.float16: 2e-7}
NOISE = {torch.float64: (2e-6, 1e-6), torch.float32: (2e-6, 1e-6), torch.bfloat16: (2.0**-7, 1e-6),
         torch.float16: (2.0**-10, 1e-6)}
LOSS_OF_A_RUN = 5e-6  # relative, over ten updates with SGD


# Triton runs on CUDA, or interpreted, which has to be asked for before anything imports it: where neither is so, these
# tests run without it, and once more with it in the process that test_triton.py starts.
TRITON_RUNS = importlib.util.find_spec("triton") is not None and (
    torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET") == "1")
DEVICES = {"reference": "cpu", "cpu": "cpu", "triton": "cuda" if torch.cuda.is_available() else "cpu"}
_NO_COMPILER = pytest.mark.skipif(dispatch.BACKENDS["cpu"].why_not() is not None,
                                  reason=str(dispatch.BACKENDS["cpu"].why_not()))
_FUSED = [pytest.param("cpu", marks=_NO_COMPILER), *(["triton"] if TRITON_RUNS else [])]
each_backend = pytest.mark.parametrize("backend", ["reference", *_FUSED])
each_fused = pytest.mark.parametrize("backend", _FUSED)
