"""The perturbation kernels in Triton for CUDA: the functions of `reference`, one launch where the scope is a token.

Input and output as in `reference`, which says what they mean. Storage fp32, fp64, bf16 and fp16; other mixtures than a
wider gradient go to `reference`. Interpreted in numpy on the CPU by the tests; the kernels are in `triton_kernels`,
which is imported at the first call, since triton need not be there. Shapes: B batch, L length, H width.
"""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from trainer.kernels import ops, philox, reference

_STORAGE = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_CHUNK = 64  # rows whose share of the LayerNorm's gradient is added up in one program


def why_not() -> str | None:
    """None where this backend can run, else the reason."""
    if not torch.cuda.is_available():
        return "no CUDA device"
    return None if importlib.util.find_spec("triton") is not None else "the package triton is not installed"


def perturb_init(
    x_BLH: Tensor, m_BL: Tensor, epsilon: float, norm: str, scope: str, kind: str,
    seed: int, update: int, example_ids_B: Tensor, draw: int,
) -> tuple[Tensor, Tensor]:
    """Noise in the ball, masked and added to x; returns (x + delta, delta). See `reference.perturb_init`."""
    if not _same_type(x_BLH):
        return reference.perturb_init(x_BLH, m_BL, epsilon, norm, scope, kind, seed, update, example_ids_B, draw)
    x, m, ids = x_BLH.contiguous(), _bytes(m_BL), example_ids_B.to(torch.int64).contiguous()
    total, delta, (B, L, H) = _empty(x), _empty(x), x.shape
    shared = scope == "sequence" and norm == "l2"
    squares = x.new_zeros(B * L if shared else 1, dtype=_work(x))
    contents = m_BL.sum(dim=1).clamp(min=1)

    def launch(phase: int, squares: Tensor) -> None:
        _launch("noise_rows", B * L, x, m, ids, total, delta, squares, contents, *_pair(epsilon), L, H,
                *_place(update, philox.STREAM_NOISE + draw, seed), PHASE=phase, LINF=norm == "linf",
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
    """The nearest perturbation inside the ball, zero where the mask is false. See `reference.perturb_project`."""
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


def counter_bits(seed: int, update: int, ids_B: Tensor, length: int, dims: int, stream: int) -> Tensor:
    """The random words of `philox.counter_bits`, (B, L, D), as this backend makes them."""
    out = torch.empty(len(ids_B), length, dims, dtype=torch.int64, device=ids_B.device)
    _launch("counter_bits", len(ids_B) * length, ids_B.contiguous(), out, length, dims, *_place(update, stream, seed),
            BLOCK=_block(dims, 4))
    return out


def embedding_forward(
    ids_BL: Tensor, positions_BL: Tensor, types_BL: Tensor, delta_BLH: Tensor, words_VH: Tensor,
    position_rows_PH: Tensor, type_rows_TH: Tensor, weight_H: Tensor, bias_H: Tensor, epsilon: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """(embedding block, mean, 1 / standard deviation). Indices are not checked. See `reference.embedding_forward`."""
    tables = (words_VH, position_rows_PH, type_rows_TH, weight_H, bias_H)
    if not _same_type(delta_BLH, *tables):
        return reference.embedding_forward(ids_BL, positions_BL, types_BL, delta_BLH, *tables, epsilon)
    delta, rows = delta_BLH.contiguous(), [table.contiguous() for table in tables]
    out, (B, L, H) = _empty(delta), delta.shape
    mean, rstd = (delta.new_empty(B, L, dtype=_work(delta)) for _ in range(2))
    if delta.numel():
        indices = ops.embedding_indices(delta, ids_BL, positions_BL, types_BL)
        _launch("embed_rows", B * L, *indices, delta, *rows, out, mean, rstd, *_pair(epsilon), H, **_sizes(delta))
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
    inputs = (grad, *ops.embedding_indices(delta, ids_BL, positions_BL, types_BL), delta, *rows[:3])
    grad_sum, (B, L, H), sizes = _empty(delta), delta.shape, _sizes(delta)
    chunks = -(-B * L // _CHUNK) if affine else 0
    parts = delta.new_zeros(2, chunks, H, dtype=_work(delta))
    if delta.numel():
        _launch("embed_backward_rows", B * L, *inputs, rows[3], mean_BL, rstd_BL, grad_sum, H, **sizes)
    if delta.numel() and affine:
        _launch("embed_affine_chunks", chunks, *inputs, mean_BL, rstd_BL, parts[0], parts[1], B * L, H, CHUNK=_CHUNK,
                **sizes)
    weight, bias = parts.sum(dim=1).to(delta.dtype).unbind()
    return grad_sum, weight.clone(), bias.clone()


def _kernels() -> ModuleType:
    from trainer.kernels import triton_kernels
    return triton_kernels


def _launch(kernel: str, programs: int, *arguments: Any, **constants: Any) -> None:
    # Fused multiply-adds would make x + delta differ from the sum of what is written.
    getattr(_kernels(), kernel)[(programs,)](*arguments, **constants, enable_fp_fusion=False)


def _same_type(*tensors: Tensor) -> bool:
    first = tensors[0]
    return first.dtype in _STORAGE and all(t.dtype == first.dtype for t in tensors)


def _work(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _block(width: int, minimum: int) -> int:
    return max(minimum, 1 << (width - 1).bit_length() if width > 0 else 1)


def _sizes(x: Tensor, minimum: int = 1) -> dict[str, Any]:
    """The constants of a kernel over rows of x: the type of the arithmetic and a power of two that holds a row."""
    import triton.language as tl

    return {"WORK": tl.float64 if x.dtype == torch.float64 else tl.float32, "BLOCK": _block(x.shape[-1], minimum)}


def _pair(value: float) -> tuple[float, float]:
    """A Python float as two numbers that fp32, which Triton takes scalars as, can hold."""
    first = float(torch.tensor(value, dtype=torch.float32))
    return first, value - first


def _place(update: int, stream: int, seed: int) -> tuple[int, int, int, int]:
    return update & 0xFFFFFFFF, stream, seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF


def _bytes(m_BL: Tensor) -> Tensor:
    return m_BL.contiguous().view(torch.uint8)


def _empty(x: Tensor) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def _with_graph(total: Tensor, x_BLH: Tensor, delta: Tensor) -> Tensor:
    return x_BLH + delta if torch.is_grad_enabled() and x_BLH.requires_grad else total


perturbed_embedding = ops.register("robust_triton", embedding_forward, embedding_backward,
                                   perturb_init, perturb_ascend, perturb_project)
