"""The Triton kernels themselves; `triton_ops` launches them, `reference` says what they mean.

One program per row of H numbers, which it reads once and keeps in registers. Where the scope is a sequence, what the
rows of an example share (peak, squares) is found by one launch, added up over (B, L) numbers by torch, and used by the
next. Arithmetic is WORK: fp32, or fp64 for fp64. Scalars come as fp32 pairs (value, rest), which fp64 needs.

This module needs the package triton. TRITON_INTERPRET=1 while it is imported runs the kernels in numpy.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl
from triton import knobs

INTERPRETED: bool = bool(knobs.runtime.interpret)
_CUTS_OFF = tl.constexpr(INTERPRETED)
WARPS = (2, 4, 8, 16)


def _tuned(kernel: Any) -> Any:
    """The kernel with the number of warps that is fastest for a width; a choice that the interpreter does not have."""
    if INTERPRETED:
        return kernel
    return triton.autotune([triton.Config({}, num_warps=warps) for warps in WARPS], key=["width"])(kernel)


@triton.jit
def _content(mask: Any, row: Any, column: Any) -> Any:
    """Whether the row has content, once per column: the interpreter cannot combine a single bool with many."""
    return tl.load(mask + row + column * 0) != 0


@triton.jit
def _stored(value: Any, TYPE: tl.constexpr) -> Any:
    """The value in its storage type, to nearest. The interpreter cuts bf16 off, so there it is rounded beforehand."""
    if _CUTS_OFF and tl.bfloat16 == TYPE:
        bits = value.to(tl.int32, bitcast=True)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & -65536
        value = tl.where(value == value, rounded.to(tl.float32, bitcast=True), value)
    return value.to(TYPE)


@triton.jit
def _number(first: Any, rest: Any, WORK: tl.constexpr) -> Any:
    return tl.full((), first, WORK) + tl.full((), rest, WORK)


@triton.jit
def _peak_bits(row: Any) -> Any:
    """Bits of the largest magnitude; as integers they are ordered like magnitudes, with Inf and every NaN on top."""
    if row.dtype == tl.float64:
        bits = row.to(tl.int64, bitcast=True) & 0x7FFFFFFFFFFFFFFF
    else:
        bits = row.to(tl.int32, bitcast=True) & 0x7FFFFFFF
    return tl.max(bits, axis=0)


@triton.jit
def _usable(peak: Any) -> Any:
    if peak.dtype == tl.int64:
        return (peak > 0) & (peak < 0x7FF0000000000000)
    return (peak > 0) & (peak < 0x7F800000)


@triton.jit
def _towards_one(peak: Any) -> Any:
    """A power of two that brings a number with these bits near one; exact, and never 0 or Inf itself."""
    if peak.dtype == tl.int64:
        exponent = tl.minimum(tl.maximum(2046 - (peak >> 52), 1), 2045)
        return (exponent << 52).to(tl.float64, bitcast=True)
    exponent = tl.minimum(tl.maximum(254 - (peak >> 23), 1), 253)
    return (exponent << 23).to(tl.float32, bitcast=True)


@triton.jit
def _shrink(squares: Any, epsilon: Any) -> Any:
    size = tl.sqrt(squares)
    return tl.where(size > epsilon, epsilon / tl.where(size > epsilon, size, 1.0), 1.0)


@triton.jit
def _within(value: Any, bound: Any) -> Any:
    """Cut to [-bound, bound]; NaN passes, as it does in torch.clamp."""
    return tl.where(value < -bound, -bound, tl.where(value > bound, bound, value))


@_tuned
@triton.jit
def row_peaks(grad: Any, mask: Any, peaks: Any, width: Any, WORK: tl.constexpr, BLOCK: tl.constexpr) -> None:
    """peaks[row] = bits of the largest magnitude of a content row, 0 elsewhere."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    content = _content(mask, row, column)
    g = tl.load(grad + row * width + column, mask=(column < width) & content, other=0.0).to(WORK)
    tl.store(peaks + row, _peak_bits(g))


@_tuned
@triton.jit
def row_squares(values: Any, mask: Any, peaks: Any, squares: Any, length: Any, width: Any, SCALED: tl.constexpr,
                WORK: tl.constexpr, BLOCK: tl.constexpr) -> None:
    """squares[row] = sum of squares of a content row, scaled by its example's peak where SCALED."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    content = _content(mask, row, column)
    v = tl.load(values + row * width + column, mask=(column < width) & content, other=0.0).to(WORK)
    if SCALED:
        peak = tl.load(peaks + row // length)
        v = tl.where(_usable(peak), v * _towards_one(peak), 0.0)
    tl.store(squares + row, tl.sum(v * v, axis=0))


@_tuned
@triton.jit
def ascend_rows(delta: Any, grad: Any, x: Any, mask: Any, total: Any, out: Any, peaks: Any, grad_squares: Any,
                moved_squares: Any, step: Any, step_rest: Any, epsilon: Any, epsilon_rest: Any, length: Any,
                width: Any, PHASE: tl.constexpr, LINF: tl.constexpr, WORK: tl.constexpr, BLOCK: tl.constexpr) -> None:
    """One ascent step of one row.

    PHASE 0: the row is a ball of its own. PHASE 1: only moved_squares[row], with the peak and squares of the example's
    gradient given. PHASE 2: the step, with moved_squares of the example given as well.
    """
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    at, inside = row * width + column, column < width
    content = _content(mask, row, column)
    g = tl.load(grad + at, mask=inside & content, other=0.0).to(WORK)
    d = tl.load(delta + at, mask=inside & content, other=0.0).to(WORK)
    step_size, bound = _number(step, step_rest, WORK), _number(epsilon, epsilon_rest, WORK)
    peak = _peak_bits(g) if PHASE == 0 else tl.load(peaks + row // length)
    usable = _usable(peak)
    if LINF:
        sign = tl.where(g > 0, 1.0, 0.0) - tl.where(g < 0, 1.0, 0.0)
        moved = _within(tl.where(usable, d + step_size * sign.to(WORK), d), bound)
    else:
        g = tl.where(usable, g * _towards_one(peak), 0.0)
        squares = tl.sum(g * g, axis=0) if PHASE == 0 else tl.load(grad_squares + row // length)
        moved = tl.where(usable, d + (step_size / tl.sqrt(tl.where(usable, squares, 1.0))) * g, d)
        if PHASE != 2:
            squares = tl.sum(moved * moved, axis=0)
        else:
            squares = tl.load(moved_squares + row // length)
        if PHASE == 1:
            tl.store(moved_squares + row, squares)
        else:
            moved = moved * _shrink(squares, bound)
    if PHASE != 1:
        stored = _stored(moved, out.dtype.element_ty)
        tl.store(out + at, stored, mask=inside)
        there = tl.load(x + at, mask=inside, other=0.0).to(WORK)
        tl.store(total + at, _stored(there + stored.to(WORK), out.dtype.element_ty), mask=inside)


@_tuned
@triton.jit
def project_rows(delta: Any, mask: Any, out: Any, squares: Any, epsilon: Any, epsilon_rest: Any, length: Any,
                 width: Any, SHARED: tl.constexpr, LINF: tl.constexpr, WORK: tl.constexpr,
                 BLOCK: tl.constexpr) -> None:
    """The projection of one row; SHARED: with the squares of its whole example."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    at, inside = row * width + column, column < width
    content = _content(mask, row, column)
    d = tl.load(delta + at, mask=inside & content, other=0.0).to(WORK)
    bound = _number(epsilon, epsilon_rest, WORK)
    if LINF:
        d = _within(d, bound)
    else:
        d = d * _shrink(tl.load(squares + row // length) if SHARED else tl.sum(d * d, axis=0), bound)
    tl.store(out + at, _stored(d, out.dtype.element_ty), mask=inside)


@triton.jit
def _philox(c0: Any, id: Any, update: Any, stream: Any, key0: Any, key1: Any) -> Any:
    """Philox 4x32-10 of the counter (c0, low id, update, stream + high id), as `philox.py` lays it out."""
    c0 = c0.to(tl.uint32)
    c1 = c0 * 0 + (id & 0xFFFFFFFF).to(tl.uint32)
    c2 = c0 * 0 + update.to(tl.uint32)
    c3 = c0 * 0 + (stream | (((id >> 32) & 0xFFFF) << 16)).to(tl.uint32)
    k0, k1 = key0.to(tl.uint32), key1.to(tl.uint32)
    m0, m1 = tl.full((), 0xD2511F53, tl.uint32), tl.full((), 0xCD9E8D57, tl.uint32)
    w0, w1 = tl.full((), 0x9E3779B9, tl.uint32), tl.full((), 0xBB67AE85, tl.uint32)
    for _ in tl.static_range(10):
        high0, low0, high1, low1 = tl.umulhi(c0, m0), c0 * m0, tl.umulhi(c2, m1), c2 * m1
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + w0, k1 + w1
    return c0, c1, c2, c3


@triton.jit
def _unit(word: Any) -> Any:
    return ((word >> 9).to(tl.int32).to(tl.float32) + 0.5) * 1.1920928955078125e-07


@triton.jit
def _normal_pair(one: Any, two: Any) -> Any:
    """Two standard normal numbers of two words (Box, Muller 1958)."""
    radius, angle = tl.sqrt(-2.0 * tl.log(_unit(one))), 6.283185307179586 * _unit(two)
    return radius * tl.cos(angle), radius * tl.sin(angle)


@triton.jit
def _in_order(a: Any, b: Any, c: Any, d: Any) -> Any:
    return tl.interleave(tl.interleave(a, c), tl.interleave(b, d))


# Without this Triton would compile anew for numbers that are 1 or a multiple of 16.
_FREE = ["update", "draw", "key0", "key1"]


@triton.jit(do_not_specialize=_FREE)
def counter_bits(ids: Any, out: Any, length: Any, dims: Any, update: Any, draw: Any, key0: Any, key1: Any,
                 BLOCK: tl.constexpr) -> None:
    """The words of one row, for the test that they are the reference's bit by bit; `draw` is the whole stream."""
    row = tl.program_id(0).to(tl.int64)
    first = (row % length) * ((dims + 3) // 4)
    a, b, c, d = _philox(first + tl.arange(0, BLOCK // 4), tl.load(ids + row // length), update, draw, key0, key1)
    column = tl.arange(0, BLOCK)
    tl.store(out + row * dims + column, _in_order(a, b, c, d).to(tl.int64), mask=column < dims)


@triton.jit(do_not_specialize=_FREE)
def noise_rows(x: Any, mask: Any, ids: Any, total: Any, out: Any, squares: Any, contents: Any, epsilon: Any,
               epsilon_rest: Any, length: Any, width: Any, update: Any, draw: Any, key0: Any, key1: Any,
               PHASE: tl.constexpr, LINF: tl.constexpr, NORMAL: tl.constexpr, WORK: tl.constexpr,
               BLOCK: tl.constexpr) -> None:
    """Noise of one row. PHASE 0: a ball of its own; 1: only squares[row]; 2: with its example's squares, contents."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    at, inside, token = row * width + column, column < width, row % length
    content, id = _content(mask, row, column), tl.load(ids + row // length)
    bound = _number(epsilon, epsilon_rest, WORK)
    a, b, c, d = _philox(token * ((width + 3) // 4) + tl.arange(0, BLOCK // 4), id, update, draw, key0, key1)
    if LINF and not NORMAL:
        z = 2.0 * _unit(_in_order(a, b, c, d)) - 1.0
    else:
        a_, b_ = _normal_pair(a, b)
        c_, d_ = _normal_pair(c, d)
        z = _in_order(a_, b_, c_, d_)
    z = tl.where(inside & content, z, 0.0).to(WORK)
    scale = bound
    if LINF:
        z = _within(z, tl.full((), 1.0, WORK))
    else:
        summed = tl.load(squares + row // length) if PHASE == 2 else tl.sum(z * z, axis=0)
        dims = (width * (tl.load(contents + row // length) if PHASE == 2 else 1)).to(WORK)
        if PHASE == 1:
            tl.store(squares + row, summed)
        elif NORMAL:
            scale = bound / tl.sqrt(dims)
        else:
            u, _u1, _u2, _u3 = _philox(token * 0 if PHASE == 2 else token, id, update, draw + 4096, key0, key1)
            share = tl.exp2(tl.log2(_unit(u)).to(WORK) / dims)
            scale = bound * share / tl.sqrt(tl.where(summed > 0, summed, 1.0))
        scale = scale * _shrink(summed * scale * scale, bound)
    if PHASE != 1:
        stored = _stored(z * scale, out.dtype.element_ty)
        tl.store(out + at, stored, mask=inside)
        there = tl.load(x + at, mask=inside, other=0.0).to(WORK)
        tl.store(total + at, _stored(there + stored.to(WORK), out.dtype.element_ty), mask=inside)


@triton.jit
def _sum_of_parts(ids: Any, positions: Any, types: Any, delta: Any, words: Any, position_rows: Any, type_rows: Any,
                  row: Any, column: Any, inside: Any, width: Any, WORK: tl.constexpr) -> Any:
    word = tl.load(words + tl.load(ids + row) * width + column, mask=inside, other=0.0).to(WORK)
    moved = word + tl.load(delta + row * width + column, mask=inside, other=0.0).to(WORK)
    kind = tl.load(type_rows + tl.load(types + row) * width + column, mask=inside, other=0.0).to(WORK)
    place = tl.load(position_rows + tl.load(positions + row) * width + column, mask=inside, other=0.0).to(WORK)
    return moved + kind + place


@_tuned
@triton.jit
def embed_rows(ids: Any, positions: Any, types: Any, delta: Any, words: Any, position_rows: Any, type_rows: Any,
               weight: Any, bias: Any, out: Any, mean: Any, rstd: Any, epsilon: Any, epsilon_rest: Any, width: Any,
               WORK: tl.constexpr, BLOCK: tl.constexpr) -> None:
    """The embedding block of one token."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < width
    s = _sum_of_parts(ids, positions, types, delta, words, position_rows, type_rows, row, column, inside, width, WORK)
    centre = tl.sum(s, axis=0) / width
    s = tl.where(inside, s - centre, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(s * s, axis=0) / width + _number(epsilon, epsilon_rest, WORK))
    w = tl.load(weight + column, mask=inside, other=0.0).to(WORK)
    b = tl.load(bias + column, mask=inside, other=0.0).to(WORK)
    tl.store(out + row * width + column, _stored(s * scale * w + b, out.dtype.element_ty), mask=inside)
    tl.store(mean + row, centre)
    tl.store(rstd + row, scale)


@_tuned
@triton.jit
def embed_backward_rows(grad: Any, ids: Any, positions: Any, types: Any, delta: Any, words: Any, position_rows: Any,
                        type_rows: Any, weight: Any, mean: Any, rstd: Any, grad_sum: Any, width: Any,
                        WORK: tl.constexpr, BLOCK: tl.constexpr) -> None:
    """d loss / d (sum before LayerNorm) of one token."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < width
    s = _sum_of_parts(ids, positions, types, delta, words, position_rows, type_rows, row, column, inside, width, WORK)
    scale = tl.load(rstd + row)
    normal = tl.where(inside, (s - tl.load(mean + row)) * scale, 0.0)
    upper = tl.load(grad + row * width + column, mask=inside, other=0.0).to(WORK)
    upper = upper * tl.load(weight + column, mask=inside, other=0.0).to(WORK)
    share = tl.sum(upper, axis=0) / width + normal * (tl.sum(upper * normal, axis=0) / width)
    tl.store(grad_sum + row * width + column, _stored(scale * (upper - share), grad_sum.dtype.element_ty), mask=inside)


@triton.jit
def embed_affine_chunks(grad: Any, ids: Any, positions: Any, types: Any, delta: Any, words: Any, position_rows: Any,
                        type_rows: Any, mean: Any, rstd: Any, weight_parts: Any, bias_parts: Any, rows: Any,
                        width: Any, CHUNK: tl.constexpr, WORK: tl.constexpr, BLOCK: tl.constexpr) -> None:
    """A chunk's share of d loss / d weight and d loss / d bias."""
    chunk = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < width
    weight, bias = tl.zeros((BLOCK,), WORK), tl.zeros((BLOCK,), WORK)
    for number in range(CHUNK):
        row = chunk * CHUNK + number
        there = inside & (row + column * 0 < rows)
        row = tl.minimum(row, rows - 1)
        s = _sum_of_parts(ids, positions, types, delta, words, position_rows, type_rows, row, column, there, width,
                          WORK)
        g = tl.load(grad + row * width + column, mask=there, other=0.0).to(WORK)
        weight += g * (s - tl.load(mean + row)) * tl.load(rstd + row)
        bias += g
    tl.store(weight_parts + chunk * width + column, weight, mask=inside)
    tl.store(bias_parts + chunk * width + column, bias, mask=inside)
