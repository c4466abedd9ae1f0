"""Triton kernels, launched by `triton_ops` and defined by `reference`.

One program per row of H numbers, read once and kept in registers. If the scope is a sequence, one launch finds each
row's share of the peak and the squares, torch reduces them over (B, L), and the next launch uses the result.
Arithmetic is WORK: fp32, or fp64 for fp64. Scalars come as fp32 pairs (value, rest), as fp64 needs.

Needs the package triton. Import with TRITON_INTERPRET=1 to run the kernels in numpy. Parameters have no types but
`tl.constexpr`: the compiler, unlike the interpreter, would look up every other name.
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
    """Autotune the number of warps per width; the interpreter has no warps."""
    if INTERPRETED:
        return kernel
    return triton.autotune([triton.Config({}, num_warps=warps) for warps in WARPS], key=["width"])(kernel)


@triton.jit
def _content(mask, row, column):
    """True if the row is content, once per column: the interpreter cannot broadcast a single bool."""
    return tl.load(mask + row + column * 0) != 0


@triton.jit
def _stored(value, TYPE: tl.constexpr):
    """The value rounded to nearest in its storage type; the interpreter truncates bf16, so round it first there."""
    if _CUTS_OFF and tl.bfloat16 == TYPE:
        bits = value.to(tl.int32, bitcast=True)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & -65536
        value = tl.where(value == value, rounded.to(tl.float32, bitcast=True), value)
    return value.to(TYPE)


@triton.jit
def _number(first, rest, WORK: tl.constexpr):
    return tl.full((), first, WORK) + tl.full((), rest, WORK)


@triton.jit
def _peak_bits(row):
    """Bits of the largest magnitude; as integers they order like magnitudes, with Inf and every NaN on top."""
    if row.dtype == tl.float64:
        bits = row.to(tl.int64, bitcast=True) & 0x7FFFFFFFFFFFFFFF
    else:
        bits = row.to(tl.int32, bitcast=True) & 0x7FFFFFFF
    return tl.max(bits, axis=0)


@triton.jit
def _usable(peak):
    infinity = 0x7FF0000000000000 if peak.dtype == tl.int64 else 0x7F800000
    return (peak > 0) & (peak < infinity)


@triton.jit
def _towards_one(peak):
    """Power of two that scales a number with these bits close to one: exact, never 0 or Inf."""
    if peak.dtype == tl.int64:
        exponent = tl.minimum(tl.maximum(2046 - (peak >> 52), 1), 2045)
        scale = (exponent << 52).to(tl.float64, bitcast=True)
    else:  # no second return: the compiler wants one type of all
        exponent = tl.minimum(tl.maximum(254 - (peak >> 23), 1), 253)
        scale = (exponent << 23).to(tl.float32, bitcast=True)
    return scale


@triton.jit
def _shrink(squares, epsilon):
    size = tl.sqrt(squares)
    return tl.where(size > epsilon, epsilon / tl.where(size > epsilon, size, 1.0), 1.0)


@triton.jit
def _within(value, bound):
    """Clamp to [-bound, bound]; NaN passes, as in torch.clamp."""
    return tl.where(value < -bound, -bound, tl.where(value > bound, bound, value))


@_tuned
@triton.jit
def row_peaks(grad, mask, peaks, width, WORK: tl.constexpr, BLOCK: tl.constexpr):
    """peaks[row] = bits of the largest magnitude of a content row, 0 elsewhere."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    content = _content(mask, row, column)
    g = tl.load(grad + row * width + column, mask=(column < width) & content, other=0.0).to(WORK)
    tl.store(peaks + row, _peak_bits(g))


@_tuned
@triton.jit
def row_squares(values, mask, peaks, squares, length, width, SCALED: tl.constexpr,
                WORK: tl.constexpr, BLOCK: tl.constexpr):
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
def ascend_rows(delta, grad, x, mask, total, out, peaks, grad_squares,
                moved_squares, step, step_rest, epsilon, epsilon_rest, length,
                width, PHASE: tl.constexpr, LINF: tl.constexpr, WORK: tl.constexpr, BLOCK: tl.constexpr):
    """One ascent step of one row.

    PHASE 0: the row is a ball of its own. PHASE 1: compute moved_squares[row] only, given the example's gradient peak
    and squares. PHASE 2: the step, given the example's moved_squares as well.
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
def project_rows(delta, mask, out, squares, epsilon, epsilon_rest, length,
                 width, SHARED: tl.constexpr, LINF: tl.constexpr, WORK: tl.constexpr,
                 BLOCK: tl.constexpr):
    """Projection of one row; SHARED: with the squares of its whole example."""
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
def _philox(c0, id, step, stream, key0, key1):
    """Philox 4x32-10 of the counter (c0, low id, step, stream + high id), as `philox.py` lays it out."""
    c0 = c0.to(tl.uint32)
    c1 = c0 * 0 + (id & 0xFFFFFFFF).to(tl.uint32)
    c2 = c0 * 0 + step.to(tl.uint32)
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
def _unit(word):
    return ((word >> 9).to(tl.int32).to(tl.float32) + 0.5) * 1.1920928955078125e-07


@triton.jit
def _normal_pair(one, two):
    """Two standard normal numbers from two random words (Box and Muller 1958)."""
    radius, angle = tl.sqrt(-2.0 * tl.log(_unit(one))), 6.283185307179586 * _unit(two)
    return radius * tl.cos(angle), radius * tl.sin(angle)


@triton.jit
def _in_order(a, b, c, d):
    return tl.interleave(tl.interleave(a, c), tl.interleave(b, d))


# Else Triton would recompile for values that are 1 or a multiple of 16.
_FREE = ["step", "draw", "key0", "key1"]


@triton.jit(do_not_specialize=_FREE)
def counter_bits(ids, out, length, dims, step, draw, key0, key1,
                 BLOCK: tl.constexpr):
    """Random words of one row, for the bitwise comparison with the reference; `draw` is the whole stream."""
    row = tl.program_id(0).to(tl.int64)
    first = (row % length) * ((dims + 3) // 4)
    a, b, c, d = _philox(first + tl.arange(0, BLOCK // 4), tl.load(ids + row // length), step, draw, key0, key1)
    column = tl.arange(0, BLOCK)
    tl.store(out + row * dims + column, _in_order(a, b, c, d).to(tl.int64), mask=column < dims)


@triton.jit(do_not_specialize=_FREE)
def noise_rows(x, mask, ids, total, out, squares, contents, epsilon,
               epsilon_rest, length, width, step, draw, key0, key1,
               PHASE: tl.constexpr, LINF: tl.constexpr, NORMAL: tl.constexpr, WORK: tl.constexpr,
               BLOCK: tl.constexpr):
    """Noise of one row. PHASE 0: a ball of its own; 1: squares[row] only; 2: given its example's squares, contents."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    at, inside, token = row * width + column, column < width, row % length
    content, id = _content(mask, row, column), tl.load(ids + row // length)
    bound = _number(epsilon, epsilon_rest, WORK)
    a, b, c, d = _philox(token * ((width + 3) // 4) + tl.arange(0, BLOCK // 4), id, step, draw, key0, key1)
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
            u, _u1, _u2, _u3 = _philox(token * 0 if PHASE == 2 else token, id, step, draw + 4096, key0, key1)
            share = tl.exp2(tl.log2(_unit(u)).to(WORK) / dims)
            scale = bound * share / tl.sqrt(tl.where(summed > 0, summed, 1.0))
        scale = scale * _shrink(summed * scale * scale, bound)
    if PHASE != 1:
        stored = _stored(z * scale, out.dtype.element_ty)
        tl.store(out + at, stored, mask=inside)
        there = tl.load(x + at, mask=inside, other=0.0).to(WORK)
        tl.store(total + at, _stored(there + stored.to(WORK), out.dtype.element_ty), mask=inside)
