"""The perturbation kernels in C++ for CPUs: the functions of `reference`, each one pass over memory.

Input and output as in `reference`, which says what they mean. Storage fp32, fp64, bf16 and fp16; mixtures of types
other than a wider gradient go to `reference`. Results do not depend on the number of threads. The functions here are
plain calls and record a graph only towards x; see `ops` for the registered operations.
Shapes: B batch, L length, H width.
"""

from __future__ import annotations

import ctypes
from functools import cache

import torch
from torch import Tensor

from trainer.kernels import buffers, build, ops, reference

_TYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}
_CHUNK = 64  # rows whose share of the LayerNorm's gradient is added up in one place, whatever the threads
_INT, _LONG, _DOUBLE, _POINTER = ctypes.c_int, ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
_SIGNATURES = {
    "perturb_ascend": [_INT] * 2 + [_POINTER] * 6 + [_LONG] * 3 + [_DOUBLE] * 2 + [_INT] * 2,
    "perturb_project": [_INT] + [_POINTER] * 3 + [_LONG] * 3 + [_DOUBLE] + [_INT] * 2,
    "perturb_init": [_INT] + [_POINTER] * 5 + [_LONG] * 3 + [_DOUBLE] + [_INT] * 3
    + [ctypes.c_uint64, _LONG] + [_INT] * 2,
    "counter_bits": [_POINTER] + [_LONG] * 3 + [ctypes.c_uint64, _LONG, _INT, _POINTER],
    "embed_forward": [_INT] + [_POINTER] * 9 + [_LONG] * 5 + [_DOUBLE] + [_POINTER] * 3 + [_INT],
    "embed_backward": [_INT] + [_POINTER] * 11 + [_LONG] * 3 + [_POINTER] * 3 + [_INT],
}


def why_not() -> str | None:
    """None where this backend can run, building it if need be; else the reason."""
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
        function.argtypes, function.restype = arguments, _INT if name == "embed_forward" else None
    return found


def perturb_init(
    x_BLH: Tensor, m_BL: Tensor, epsilon: float, norm: str, scope: str, kind: str,
    seed: int, update: int, example_ids_B: Tensor, draw: int,
) -> tuple[Tensor, Tensor]:
    """Noise in the ball, masked and added to x; returns (x + delta, delta). See `reference.perturb_init`."""
    if not _same_type(x_BLH):
        return reference.perturb_init(x_BLH, m_BL, epsilon, norm, scope, kind, seed, update, example_ids_B, draw)
    _check_shapes(m_BL, x_BLH)
    if example_ids_B.shape != x_BLH.shape[:1]:
        raise ValueError(f"one example id per row of x expected, found {tuple(example_ids_B.shape)}")
    B, L, H = x_BLH.shape
    x, m, ids = x_BLH.contiguous(), m_BL.contiguous(), example_ids_B.to(torch.int64).contiguous()
    total, delta = buffers.empty_like(x), buffers.empty_like(x)
    _library().perturb_init(
        _TYPES[x.dtype], x.data_ptr(), m.data_ptr(), ids.data_ptr(), total.data_ptr(), delta.data_ptr(), B, L, H,
        epsilon, norm == "linf", scope == "sequence", kind == "gaussian", seed, update, draw, torch.get_num_threads())
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
    """The nearest perturbation inside the ball, zero where the mask is false. See `reference.perturb_project`."""
    if not _same_type(delta_BLH):
        return reference.perturb_project(delta_BLH, m_BL, epsilon, norm, scope)
    _check_shapes(m_BL, delta_BLH)
    delta, m = delta_BLH.contiguous(), m_BL.contiguous()
    out = buffers.empty_like(delta)
    _library().perturb_project(
        _TYPES[delta.dtype], delta.data_ptr(), m.data_ptr(), out.data_ptr(), *_balls(delta, scope), epsilon,
        norm == "linf", torch.get_num_threads())
    return out


def counter_bits(seed: int, update: int, ids_B: Tensor, length: int, dims: int, stream: int) -> Tensor:
    """The random words of `philox.counter_bits`, (B, L, D), as this backend makes them."""
    ids = ids_B.contiguous()
    out = torch.empty(len(ids), length, dims, dtype=torch.int64)
    _library().counter_bits(ids.data_ptr(), len(ids), length, dims, seed, update, stream, out.data_ptr())
    return out


def embedding_forward(
    ids_BL: Tensor, positions_BL: Tensor, types_BL: Tensor, delta_BLH: Tensor, words_VH: Tensor,
    position_rows_PH: Tensor, type_rows_TH: Tensor, weight_H: Tensor, bias_H: Tensor, epsilon: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """(embedding block, mean, 1 / standard deviation). See `reference.embedding_forward`."""
    tables = (words_VH, position_rows_PH, type_rows_TH, weight_H, bias_H)
    if not _same_type(delta_BLH, *tables):
        return reference.embedding_forward(ids_BL, positions_BL, types_BL, delta_BLH, *tables, epsilon)
    delta, rows = delta_BLH.contiguous(), [table.contiguous() for table in tables]
    indices = ops.embedding_indices(delta, ids_BL, positions_BL, types_BL)
    work = torch.promote_types(delta.dtype, torch.float32)
    out = buffers.empty_like(delta)
    mean, rstd = (torch.empty(delta.shape[:2], dtype=work) for _ in range(2))
    outside = _library().embed_forward(
        _TYPES[delta.dtype], *(t.data_ptr() for t in (*indices, delta, *rows)), *(len(t) for t in rows[:3]),
        indices[0].numel(), delta.shape[-1], epsilon, out.data_ptr(), mean.data_ptr(), rstd.data_ptr(),
        torch.get_num_threads())
    if outside:
        raise IndexError(f"an index is outside of the table of {('words', 'positions', 'types')[outside - 1]}")
    return out, mean, rstd


def embedding_backward(
    grad_BLH: Tensor, ids_BL: Tensor, positions_BL: Tensor, types_BL: Tensor, delta_BLH: Tensor, words_VH: Tensor,
    position_rows_PH: Tensor, type_rows_TH: Tensor, weight_H: Tensor, mean_BL: Tensor, rstd_BL: Tensor, affine: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the sum before LayerNorm, of its weight and its bias. See `reference.embedding_backward`."""
    tables = (words_VH, position_rows_PH, type_rows_TH, weight_H)
    if not _same_type(grad_BLH, delta_BLH, *tables):
        return reference.embedding_backward(
            grad_BLH, ids_BL, positions_BL, types_BL, delta_BLH, *tables, mean_BL, rstd_BL, affine)
    grad, delta, rows = grad_BLH.contiguous(), delta_BLH.contiguous(), [table.contiguous() for table in tables]
    indices = ops.embedding_indices(delta, ids_BL, positions_BL, types_BL)
    count, width = indices[0].numel(), delta.shape[-1]
    parts = torch.zeros(2, -(-count // _CHUNK) if affine else 0, width, dtype=mean_BL.dtype)
    grad_sum = buffers.empty_like(delta)
    _library().embed_backward(
        _TYPES[delta.dtype], *(t.data_ptr() for t in (grad, *indices, delta, *rows, mean_BL, rstd_BL)), count, width,
        _CHUNK, grad_sum.data_ptr(), *((parts[0].data_ptr(), parts[1].data_ptr()) if affine else (None, None)),
        torch.get_num_threads())
    if not affine:
        return grad_sum, torch.zeros(width, dtype=delta.dtype), torch.zeros(width, dtype=delta.dtype)
    return grad_sum, parts[0].sum(dim=0).to(delta.dtype), parts[1].sum(dim=0).to(delta.dtype)


def _same_type(*tensors: Tensor) -> bool:
    """True where all are on the CPU and of one storage type that the C++ code knows."""
    first = tensors[0].dtype
    return first in _TYPES and all(t.dtype == first and t.device.type == "cpu" for t in tensors)


def _check_shapes(m_BL: Tensor, *tensors_BLH: Tensor) -> None:
    """ValueError unless all tensors have one shape and the mask has its first two dimensions and is boolean."""
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
    """x + delta with its graph towards x where x has one, which training never needs."""
    return x_BLH + delta if torch.is_grad_enabled() and x_BLH.requires_grad else total


perturbed_embedding = ops.register("robust_cpu", embedding_forward, embedding_backward,
                                   perturb_init, perturb_ascend, perturb_project)
