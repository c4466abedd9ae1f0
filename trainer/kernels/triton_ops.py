"""Triton backend for CUDA: the functions of `reference`, with one launch if the scope is a token.

Inputs and outputs as in `reference`, which defines them. Storage fp32, fp64, bf16 and fp16; mixed types other than a
wider gradient fall back to `reference`. The tests interpret the kernels in numpy on the CPU. `triton_kernels` is
imported at the first call, because triton is optional. Shapes: B batch, L length, H width.
"""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from trainer.kernels import ops, philox, reference

_STORAGE = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def why_not() -> str | None:
    """None if this backend can run, else the reason."""
    if not torch.cuda.is_available():
        return "no CUDA device"
    return None if importlib.util.find_spec("triton") is not None else "the package triton is not installed"


def perturb_init(
    x_BLH: Tensor, m_BL: Tensor, epsilon: float, norm: str, scope: str, kind: str,
    seed: int, step: int, example_ids_B: Tensor, draw: int,
) -> tuple[Tensor, Tensor]:
    """Noise in the ball, masked and added to x; returns (x + delta, delta). See `reference.perturb_init`."""
    if not _same_type(x_BLH):
        return reference.perturb_init(x_BLH, m_BL, epsilon, norm, scope, kind, seed, step, example_ids_B, draw)
    x, m, ids = x_BLH.contiguous(), _bytes(m_BL), example_ids_B.to(torch.int64).contiguous()
    total, delta, (B, L, H) = _empty(x), _empty(x), x.shape
    shared = scope == "sequence" and norm == "l2"
    squares = x.new_zeros(B * L if shared else 1, dtype=_work(x))
    contents = m_BL.sum(dim=1).clamp(min=1)

    def launch(phase: int, squares: Tensor) -> None:
        _launch("noise_rows", B * L, x, m, ids, total, delta, squares, contents, *_pair(epsilon), L, H,
                *_place(step, philox.STREAM_NOISE + draw, seed), PHASE=phase, LINF=norm == "linf",
                NORMAL=kind == "gaussian", **_sizes(x, minimum=4))

    if x.numel():
        if shared:
            launch(1, squares)
            launch(2, squares.view(B, L).sum(dim=1))
        else:
            launch(0, squares)
    return _with_graph(total, x_BLH, delta), delta


def perturb_ascend(
    delta_BLH: Tensor, grad_BLH: Tensor, x_BLH: Tensor, m_BL: Tensor,
    step_size: float, epsilon: float, norm: str, scope: str,
) -> tuple[Tensor, Tensor]:
    """One projected ascent step; returns (x + delta, delta). See `reference.perturb_ascend`."""
    if not _same_type(x_BLH, delta_BLH) or grad_BLH.dtype not in (x_BLH.dtype, _work(x_BLH)):
        return reference.perturb_ascend(delta_BLH, grad_BLH, x_BLH, m_BL, step_size, epsilon, norm, scope)
    delta, grad, x, m = delta_BLH.contiguous(), grad_BLH.contiguous(), x_BLH.contiguous(), _bytes(m_BL)
    total, moved, (B, L, H) = _empty(x), _empty(x), x.shape
    sizes, linf, none = _sizes(x), norm == "linf", x.new_empty(0, dtype=_work(x))

    def launch(phase: int, peaks: Tensor, grad_squares: Tensor, moved_squares: Tensor) -> None:
        _launch("ascend_rows", B * L, delta, grad, x, m, total, moved, peaks, grad_squares, moved_squares,
                *_pair(step_size), *_pair(epsilon), L, H, PHASE=phase, LINF=linf, **sizes)

    if not x.numel():
        pass
    elif scope == "token":
        launch(0, none, none, none)
    else:
        peaks = torch.empty(B * L, dtype=torch.int64 if _work(x) == torch.float64 else torch.int32, device=x.device)
        _launch("row_peaks", B * L, grad, m, peaks, H, **sizes)
        peaks, squares, moved_squares = peaks.view(B, L).amax(dim=1), none, none
        if not linf:
            parts = x.new_empty(B * L, dtype=_work(x))
            _launch("row_squares", B * L, grad, m, peaks, parts, L, H, SCALED=True, **sizes)
            squares, parts = parts.view(B, L).sum(dim=1), torch.empty_like(parts)
            launch(1, peaks, squares, parts)
            moved_squares = parts.view(B, L).sum(dim=1)
        launch(2, peaks, squares, moved_squares)
    return _with_graph(total, x_BLH, moved), moved


def perturb_project(delta_BLH: Tensor, m_BL: Tensor, epsilon: float, norm: str, scope: str) -> Tensor:
    """Projection onto the ball, zero where the mask is false. See `reference.perturb_project`."""
    if not _same_type(delta_BLH):
        return reference.perturb_project(delta_BLH, m_BL, epsilon, norm, scope)
    delta, m = delta_BLH.contiguous(), _bytes(m_BL)
    out, (B, L, H), sizes = _empty(delta), delta.shape, _sizes(delta)
    squares = delta.new_empty(B * L, dtype=_work(delta))
    shared = scope == "sequence" and norm == "l2"
    if delta.numel():
        if shared:
            _launch("row_squares", B * L, delta, m, squares, squares, L, H, SCALED=False, **sizes)
            squares = squares.view(B, L).sum(dim=1)
        _launch("project_rows", B * L, delta, m, out, squares, *_pair(epsilon), L, H, SHARED=shared,
                LINF=norm == "linf", **sizes)
    return out


def counter_bits(seed: int, step: int, ids_B: Tensor, length: int, dims: int, stream: int) -> Tensor:
    """This backend's random words, (B, L, D), to be compared with `philox.counter_bits`."""
    out = torch.empty(len(ids_B), length, dims, dtype=torch.int64, device=ids_B.device)
    _launch("counter_bits", len(ids_B) * length, ids_B.contiguous(), out, length, dims, *_place(step, stream, seed),
            BLOCK=_block(dims, 4))
    return out


def _kernels() -> ModuleType:
    from trainer.kernels import triton_kernels
    return triton_kernels


def _launch(kernel: str, programs: int, *arguments: Any, **constants: Any) -> None:
    # With fused multiply-adds x + delta would differ from the sum of the stored numbers.
    getattr(_kernels(), kernel)[(programs,)](*arguments, **constants, enable_fp_fusion=False)


def _same_type(*tensors: Tensor) -> bool:
    first = tensors[0]
    return first.dtype in _STORAGE and all(t.dtype == first.dtype for t in tensors)


def _work(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _block(width: int, minimum: int) -> int:
    return max(minimum, 1 << (width - 1).bit_length() if width > 0 else 1)


def _sizes(x: Tensor, minimum: int = 1) -> dict[str, Any]:
    """Constants of a kernel over rows of x: arithmetic type, and the smallest power of two that holds a row."""
    import triton.language as tl

    return {"WORK": tl.float64 if x.dtype == torch.float64 else tl.float32, "BLOCK": _block(x.shape[-1], minimum)}


def _pair(value: float) -> tuple[float, float]:
    """Split a Python float into two fp32 numbers (Triton passes scalars as fp32)."""
    first = float(torch.tensor(value, dtype=torch.float32))
    return first, value - first


def _place(step: int, stream: int, seed: int) -> tuple[int, int, int, int]:
    return step & 0xFFFFFFFF, stream, seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF


def _bytes(m_BL: Tensor) -> Tensor:
    return m_BL.contiguous().view(torch.uint8)


def _empty(x: Tensor) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def _with_graph(total: Tensor, x_BLH: Tensor, delta: Tensor) -> Tensor:
    return x_BLH + delta if torch.is_grad_enabled() and x_BLH.requires_grad else total


ops.register("robust_triton", perturb_init, perturb_ascend, perturb_project)
