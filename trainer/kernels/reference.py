"""Reference backend in plain torch: the definition that every other backend is tested against.

Notation: x_BLH representation at the site, delta_BLH perturbation, m_BL true on content tokens. Arithmetic is fp32
(fp64 for fp64 input) for every storage type. `norm` is "l2" or "linf". `scope` is the unit of one ball: "token" (each
row of H numbers) or "sequence" (all content tokens of an example together).

epsilon is a true radius, exceeded by rounding only. In fp32 the norm of delta is at most (1 + 2^-18) epsilon, for
widths up to 4096. Storing a number with p significant bits moves it by at most 2^-p / (1 + 2^-p) of itself, so the norm
of delta is at most (1 + 2^-8) epsilon in bf16 (p = 8) and (1 + 2^-11)(1 + 2^-18) epsilon in fp16 (p = 11), where
numbers below 2^-14 add up to 2^-25 each: 2^-25 to the norm for "linf", sqrt(d) times that for "l2", if d numbers share
the ball. Adding delta to x rounds once more, each number by at most 2^-p of the sum, like any activation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.kernels import ops, philox

NORMS = ("l2", "linf")
SCOPES = ("token", "sequence")
KINDS = ("uniform", "gaussian")


def why_not() -> str | None:
    """None: plain torch always runs."""
    return None


def perturb_init(
    x_BLH: Tensor, m_BL: Tensor, epsilon: float, norm: str, scope: str, kind: str,
    seed: int, step: int, example_ids_B: Tensor, draw: int,
) -> tuple[Tensor, Tensor]:
    """Counter-based noise in the ball, masked and added to x; returns (x + delta, delta).

    "uniform" is uniform in the ball: for L2 a Gaussian direction with radius epsilon u^(1/d) (Muller 1959), for
    L-infinity each coordinate by itself. "gaussian" is projected onto the ball and has standard deviation
    epsilon / sqrt(d), so that its norm is about epsilon (L-infinity: epsilon, clipped). d is the number of dimensions
    that share a ball. The noise of an example depends on (seed, step, id, token, dimension, draw) only.
    """
    _, L, H = x_BLH.shape
    work = torch.promote_types(x_BLH.dtype, torch.float32)
    mask = m_BL.unsqueeze(-1).to(work)
    stream = philox.STREAM_NOISE + draw
    if norm == "linf" and kind == "uniform":
        bits = philox.counter_bits(seed, step, example_ids_B, L, H, stream)
        delta = (2.0 * philox.uniform(bits).to(work) - 1.0) * epsilon * mask
    else:
        delta = philox.gaussian(seed, step, example_ids_B, L, H, stream).to(work) * mask
        if kind == "uniform":
            radius = philox.uniform(
                philox.counter_bits(seed, step, example_ids_B, L if scope == "token" else 1, 1,
                                    philox.STREAM_RADIUS + draw)).to(work)
            delta = delta * (epsilon * radius.pow(1.0 / _dims(mask, H, scope)) / _length(delta, "l2", scope))
        elif norm == "linf":
            delta = delta * epsilon
        else:
            delta = delta * (epsilon / _dims(mask, H, scope).sqrt())
    delta = perturb_project(delta, m_BL, epsilon, norm, scope).to(x_BLH.dtype)
    return x_BLH + delta, delta


def perturb_ascend(
    delta_BLH: Tensor, grad_BLH: Tensor, x_BLH: Tensor, m_BL: Tensor,
    step_size: float, epsilon: float, norm: str, scope: str,
) -> tuple[Tensor, Tensor]:
    """One ascent step: normalise the gradient, step, project onto the ball, mask, add to x.

    Returns (x + delta, delta). The direction is g / ||g||_2 for "l2" and sign(g) for "linf" (Madry et al. 2018,
    equation 5 of the arXiv version's section 2). A row with a zero or non-finite gradient does not move.
    """
    work = torch.promote_types(delta_BLH.dtype, torch.float32)
    mask = m_BL.unsqueeze(-1)
    grad = torch.where(mask, grad_BLH.to(work), 0.0)
    if norm == "linf":
        finite = torch.isfinite(_length(grad, "linf", scope))
        direction = torch.where(finite, torch.sign(grad), 0.0)
    else:
        # Dividing by the largest entry first keeps squares of tiny fp32 gradients from underflowing.
        peak = _length(grad, "linf", scope)
        usable = torch.isfinite(peak) & (peak > 0)
        scaled = torch.where(usable, grad / torch.where(usable, peak, 1.0), 0.0)
        size = _length(scaled, "l2", scope)
        direction = scaled / torch.where(usable, size, 1.0)
    delta = perturb_project(delta_BLH.to(work) + step_size * direction, m_BL, epsilon, norm, scope).to(x_BLH.dtype)
    return x_BLH + delta, delta


def perturb_project(delta_BLH: Tensor, m_BL: Tensor, epsilon: float, norm: str, scope: str) -> Tensor:
    """Projection onto the ball, zero where the mask is false; same dtype and shape as the input."""
    work = torch.promote_types(delta_BLH.dtype, torch.float32)
    delta = torch.where(m_BL.unsqueeze(-1), delta_BLH.to(work), 0.0)
    if norm == "linf":
        return delta.clamp(-epsilon, epsilon).to(delta_BLH.dtype)
    size = _length(delta, "l2", scope)
    return (delta * torch.where(size > epsilon, epsilon / size, 1.0)).to(delta_BLH.dtype)


def _dims(mask_BL1: Tensor, width: int, scope: str) -> Tensor:
    """Dimensions per ball: the width, or the width times an example's content tokens; broadcasts over (B, L, 1)."""
    tokens = torch.ones_like(mask_BL1[:1, :1]) if scope == "token" else mask_BL1.sum(dim=1, keepdim=True)
    return width * tokens.clamp(min=1)


def _length(delta_BLH: Tensor, norm: str, scope: str) -> Tensor:
    """Norm per ball, (B, L, 1) or (B, 1, 1); a zero L2 norm becomes the smallest positive normal float."""
    order = float("inf") if norm == "linf" else 2.0
    size: Tensor = torch.linalg.vector_norm(delta_BLH, order, dim=-1, keepdim=True)
    if scope == "sequence":  # over row norms: torch's single fp32 sum over all numbers can be off by 1e-3
        size = torch.linalg.vector_norm(size, order, dim=-2, keepdim=True)
    return size.clamp(min=torch.finfo(size.dtype).tiny) if norm == "l2" else size


# Looked up at each call, so that a test that replaces one replaces the registered operation too.
ops.register("robust_reference", lambda *a: perturb_init(*a), lambda *a: perturb_ascend(*a),
             lambda *a: perturb_project(*a))
