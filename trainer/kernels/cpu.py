"""C++ backend for CPUs: the functions of `reference`, each in one pass over memory.

Inputs and outputs as in `reference`, which defines them. Storage fp32, fp64, bf16 and fp16; mixed types other than a
wider gradient fall back to `reference`. Results do not depend on the number of threads. The functions are plain calls
that record a graph towards x only; `ops` has the registered operations.
Shapes: B batch, L length, H width.
"""

from __future__ import annotations

import ctypes
from functools import cache

import torch
from torch import Tensor

from trainer.kernels import buffers, build, ops, reference

_TYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}
LEVELS = 2**16
"""Levels of a dropout rate."""
_INT, _LONG, _DOUBLE, _POINTER = ctypes.c_int, ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
_SIGNATURES = {
    "perturb_ascend": [_INT] * 2 + [_POINTER] * 6 + [_LONG] * 3 + [_DOUBLE] * 2 + [_INT] * 2,
    "perturb_project": [_INT] + [_POINTER] * 3 + [_LONG] * 3 + [_DOUBLE] + [_INT] * 2,
    "perturb_init": [_INT] + [_POINTER] * 5 + [_LONG] * 3 + [_DOUBLE] + [_INT] * 3
    + [ctypes.c_uint64, _LONG] + [_INT] * 2,
    "dropout": [_INT] + [_POINTER] * 2 + [_LONG, ctypes.c_uint64, ctypes.c_uint32, _INT],
    "counter_bits": [_POINTER] + [_LONG] * 3 + [ctypes.c_uint64, _LONG, _INT, _POINTER],
}


def why_not() -> str | None:
    """None if this backend can run (it is built if needed), else the reason."""
    try:
        _library()
    except build.Unbuildable as error:
        return str(error)
    return None


@cache
def _library() -> ctypes.CDLL:
    found = build.library()
    for name, arguments in _SIGNATURES.items():
        function = getattr(found, name)
        function.argtypes, function.restype = arguments, None
    return found


def perturb_init(
    x_BLH: Tensor, m_BL: Tensor, epsilon: float, norm: str, scope: str, kind: str,
    seed: int, step: int, example_ids_B: Tensor, draw: int,
) -> tuple[Tensor, Tensor]:
    """Noise in the ball, masked and added to x; returns (x + delta, delta). See `reference.perturb_init`."""
    if not _same_type(x_BLH):
        return reference.perturb_init(x_BLH, m_BL, epsilon, norm, scope, kind, seed, step, example_ids_B, draw)
    _check_shapes(m_BL, x_BLH)
    if example_ids_B.shape != x_BLH.shape[:1]:
        raise ValueError(f"one example id per row of x expected, found {tuple(example_ids_B.shape)}")
    B, L, H = x_BLH.shape
    x, m, ids = x_BLH.contiguous(), m_BL.contiguous(), example_ids_B.to(torch.int64).contiguous()
    total, delta = buffers.empty_like(x), buffers.empty_like(x)
    _library().perturb_init(
        _TYPES[x.dtype], x.data_ptr(), m.data_ptr(), ids.data_ptr(), total.data_ptr(), delta.data_ptr(), B, L, H,
        epsilon, norm == "linf", scope == "sequence", kind == "gaussian", seed, step, draw, torch.get_num_threads())
    return _with_graph(total, x_BLH, delta), delta


def perturb_ascend(
    delta_BLH: Tensor, grad_BLH: Tensor, x_BLH: Tensor, m_BL: Tensor,
    step_size: float, epsilon: float, norm: str, scope: str,
) -> tuple[Tensor, Tensor]:
    """One projected ascent step; returns (x + delta, delta). See `reference.perturb_ascend`."""
    work = torch.promote_types(x_BLH.dtype, torch.float32)
    if not _same_type(x_BLH, delta_BLH) or grad_BLH.dtype not in (x_BLH.dtype, work):
        return reference.perturb_ascend(delta_BLH, grad_BLH, x_BLH, m_BL, step_size, epsilon, norm, scope)
    _check_shapes(m_BL, delta_BLH, grad_BLH, x_BLH)
    delta, grad, x, m = delta_BLH.contiguous(), grad_BLH.contiguous(), x_BLH.contiguous(), m_BL.contiguous()
    total, moved = buffers.empty_like(x), buffers.empty_like(x)
    _library().perturb_ascend(
        _TYPES[x.dtype], grad.dtype != x.dtype, delta.data_ptr(), grad.data_ptr(), x.data_ptr(), m.data_ptr(),
        total.data_ptr(), moved.data_ptr(), *_balls(x, scope), step_size, epsilon, norm == "linf",
        torch.get_num_threads())
    return _with_graph(total, x_BLH, moved), moved


def perturb_project(delta_BLH: Tensor, m_BL: Tensor, epsilon: float, norm: str, scope: str) -> Tensor:
    """Projection onto the ball, zero where the mask is false. See `reference.perturb_project`."""
    if not _same_type(delta_BLH):
        return reference.perturb_project(delta_BLH, m_BL, epsilon, norm, scope)
    _check_shapes(m_BL, delta_BLH)
    delta, m = delta_BLH.contiguous(), m_BL.contiguous()
    out = buffers.empty_like(delta)
    _library().perturb_project(
        _TYPES[delta.dtype], delta.data_ptr(), m.data_ptr(), out.data_ptr(), *_balls(delta, scope), epsilon,
        norm == "linf", torch.get_num_threads())
    return out


def dropout(x: Tensor, rate: float, seed: Tensor) -> Tensor:
    """`x` with elements zeroed at `rate`, rounded to a 65,536th, and the others scaled up by 1 / (1 - rate).

    seed: () int64. The mask is a function of it and of the number of elements before each. It is not kept for the
    backward pass, which draws it again: a mask of attention weights is as large as they are.
    """
    if x.dtype not in _TYPES or x.device.type != "cpu":
        raise ValueError(f"floating-point numbers on the CPU expected, found {x.dtype} on {x.device}")
    dropped = round(rate * LEVELS)
    if dropped == LEVELS:
        return torch.zeros_like(x, memory_format=torch.contiguous_format)
    x, out = x.contiguous(), torch.empty(x.shape, dtype=x.dtype)
    _library().dropout(_TYPES[x.dtype], x.data_ptr(), out.data_ptr(), x.numel(), int(seed), dropped,
                       torch.get_num_threads())
    return out


def counter_bits(seed: int, step: int, ids_B: Tensor, length: int, dims: int, stream: int) -> Tensor:
    """This backend's random words, (B, L, D), to be compared with `philox.counter_bits`."""
    ids = ids_B.contiguous()
    out = torch.empty(len(ids), length, dims, dtype=torch.int64)
    _library().counter_bits(ids.data_ptr(), len(ids), length, dims, seed, step, stream, out.data_ptr())
    return out


def _same_type(*tensors: Tensor) -> bool:
    """True if all are on the CPU and share one supported storage type."""
    first = tensors[0].dtype
    return first in _TYPES and all(t.dtype == first and t.device.type == "cpu" for t in tensors)


def _check_shapes(m_BL: Tensor, *tensors_BLH: Tensor) -> None:
    """Raise ValueError unless all tensors share one shape (B, L, H) and the mask is boolean of shape (B, L)."""
    shapes = {tuple(t.shape) for t in tensors_BLH}
    if len(shapes) > 1 or tensors_BLH[0].dim() != 3 or m_BL.shape != tensors_BLH[0].shape[:2]:
        raise ValueError(f"tensors of one shape (B, L, H) and a mask (B, L) expected, found {sorted(shapes)} and "
                         f"{tuple(m_BL.shape)}")
    if m_BL.dtype != torch.bool:
        raise ValueError(f"a boolean mask expected, found {m_BL.dtype}")


def _balls(x: Tensor, scope: str) -> tuple[int, int, int]:
    """(number of balls, rows in each, width)."""
    B, L, H = x.shape
    return (B * L, 1, H) if scope == "token" else (B, L, H)


def _with_graph(total: Tensor, x_BLH: Tensor, delta: Tensor) -> Tensor:
    """x + delta, with a graph towards x if x requires gradients (training never does)."""
    return x_BLH + delta if torch.is_grad_enabled() and x_BLH.requires_grad else total


ops.register("robust_cpu", perturb_init, perturb_ascend, perturb_project)
ops.register_dropout("robust_cpu", dropout)
