"""The perturbation kernels in plain torch: the definition that every other backend is measured against.

Notation: x_BLH representation at the site, delta_BLH perturbation, m_BL true on content tokens. Arithmetic is
fp32 (fp64 for fp64 input) whatever the storage type. `norm` is "l2" or "linf"; `scope` says what shares one
ball: "token" (each row of H numbers) or "sequence" (all content tokens of an example together).

epsilon is a true radius, exceeded by rounding only. In fp32 the norm of delta is at most (1 + 2^-18) epsilon, for
widths up to 4096. Storing a number in a type of p significant bits moves it by at most 2^-p / (1 + 2^-p) of itself, so
the norm of delta is at most (1 + 2^-8) epsilon in bf16 (p = 8) and (1 + 2^-11)(1 + 2^-18) epsilon in fp16 (p = 11),
where numbers below 2^-14 add up to 2^-25 each: 2^-25 to a norm in "linf", sqrt(d) times that in "l2", if d numbers
share the ball. Adding delta to x rounds once more, each number by at most 2^-p of the sum, like any activation.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from trainer.kernels import ops, philox

NORMS = ("l2", "linf")
SCOPES = ("token", "sequence")
KINDS = ("uniform", "gaussian")


def why_not() -> str | None:
    """None: plain torch runs everywhere."""
    return None


def perturb_init(
    x_BLH: Tensor, m_BL: Tensor, epsilon: float, norm: str, scope: str, kind: str,
    seed: int, update: int, example_ids_B: Tensor, draw: int,
) -> tuple[Tensor, Tensor]:
    """Counter-based noise in the ball, masked and added to x; returns (x + delta, delta).

    "uniform" is uniform in the ball: L2 by a Gaussian direction and the radius epsilon u^(1/d) (Muller 1959),
    L-infinity coordinate by coordinate. "gaussian" has standard deviation epsilon / sqrt(d), so that its norm is
    about epsilon, and is projected onto the ball; L-infinity clips standard deviation epsilon. d counts the
    dimensions that share a ball. The noise of an example depends on (seed, update, id, token, dimension, draw).
    """
    _, L, H = x_BLH.shape
    work = torch.promote_types(x_BLH.dtype, torch.float32)
    mask = m_BL.unsqueeze(-1).to(work)
    stream = philox.STREAM_NOISE + draw
    if norm == "linf" and kind == "uniform":
        bits = philox.counter_bits(seed, update, example_ids_B, L, H, stream)
        delta = (2.0 * philox.uniform(bits).to(work) - 1.0) * epsilon * mask
    else:
        delta = philox.gaussian(seed, update, example_ids_B, L, H, stream).to(work) * mask
        if kind == "uniform":
            radius = philox.uniform(
                philox.counter_bits(seed, update, example_ids_B, L if scope == "token" else 1, 1,
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
        # Dividing by the largest entry first keeps squares of tiny fp32 gradients from vanishing.
        peak = _length(grad, "linf", scope)
        usable = torch.isfinite(peak) & (peak > 0)
        scaled = torch.where(usable, grad / torch.where(usable, peak, 1.0), 0.0)
        size = _length(scaled, "l2", scope)
        direction = scaled / torch.where(usable, size, 1.0)
    delta = perturb_project(delta_BLH.to(work) + step_size * direction, m_BL, epsilon, norm, scope).to(x_BLH.dtype)
    return x_BLH + delta, delta


def perturb_project(delta_BLH: Tensor, m_BL: Tensor, epsilon: float, norm: str, scope: str) -> Tensor:
    """The nearest perturbation inside the ball, zero where the mask is false; same type and shape as the input."""
    work = torch.promote_types(delta_BLH.dtype, torch.float32)
    delta = torch.where(m_BL.unsqueeze(-1), delta_BLH.to(work), 0.0)
    if norm == "linf":
        return delta.clamp(-epsilon, epsilon).to(delta_BLH.dtype)
    size = _length(delta, "l2", scope)
    return (delta * torch.where(size > epsilon, epsilon / size, 1.0)).to(delta_BLH.dtype)


def perturbed_embedding(
    ids_BL: Tensor, positions_BL: Tensor, types_BL: Tensor, delta_BLH: Tensor, words_VH: Tensor,
    position_rows_PH: Tensor, type_rows_TH: Tensor, weight_H: Tensor, bias_H: Tensor, epsilon: float = 1e-5,
    padding_id: int = -1,
) -> Tensor:
    """XLM-R's embedding block (Conneau et al. 2020) with the perturbation on the word vectors, (B, L, H), no dropout:

        LayerNorm(words[id] + delta + types[type] + positions[position])

    Indices broadcast to (B, L). epsilon is the LayerNorm's. Rows `padding_id` of the tables of words and of positions
    get no gradient, as in `torch.nn.Embedding`. The other backends round once where fp16 and bf16 sums here round at
    every step.
    """
    padding = padding_id if padding_id >= 0 else None
    total = functional.embedding(ids_BL, words_VH, padding) + delta_BLH
    total = total + functional.embedding(types_BL, type_rows_TH)
    total = total + functional.embedding(positions_BL, position_rows_PH, padding)
    return functional.layer_norm(total, total.shape[-1:], weight_H, bias_H, epsilon)


def embedding_forward(
    ids_BL: Tensor, positions_BL: Tensor, types_BL: Tensor, delta_BLH: Tensor, words_VH: Tensor,
    position_rows_PH: Tensor, type_rows_TH: Tensor, weight_H: Tensor, bias_H: Tensor, epsilon: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """(block, mean_BL, 1 / standard deviation_BL): what the registered operation computes and keeps, one rounding."""
    total = _before_norm(ids_BL, positions_BL, types_BL, delta_BLH, words_VH, position_rows_PH, type_rows_TH)
    mean = total.mean(dim=-1, keepdim=True)
    rstd = ((total - mean).square().mean(dim=-1, keepdim=True) + epsilon).rsqrt()
    block = (total - mean) * rstd * weight_H.to(total.dtype) + bias_H.to(total.dtype)
    return block.to(delta_BLH.dtype), mean.squeeze(-1), rstd.squeeze(-1)


def embedding_backward(
    grad_BLH: Tensor, ids_BL: Tensor, positions_BL: Tensor, types_BL: Tensor, delta_BLH: Tensor, words_VH: Tensor,
    position_rows_PH: Tensor, type_rows_TH: Tensor, weight_H: Tensor, mean_BL: Tensor, rstd_BL: Tensor, affine: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the sum before LayerNorm (which is delta's), of its weight and of its bias (zeros unless `affine`).

    With n the normalised sum, g the gradient and w the weight: (w g - mean(w g) - n mean(w g n)) / deviation.
    """
    total = _before_norm(ids_BL, positions_BL, types_BL, delta_BLH, words_VH, position_rows_PH, type_rows_TH)
    scale, grad = rstd_BL.unsqueeze(-1), grad_BLH.to(total.dtype)
    normal = (total - mean_BL.unsqueeze(-1)) * scale
    upper = grad * weight_H.to(total.dtype)
    share = upper.mean(dim=-1, keepdim=True) + normal * (upper * normal).mean(dim=-1, keepdim=True)
    weight, bias = ((grad * normal).sum(dim=(0, 1)), grad.sum(dim=(0, 1))) if affine else grad.new_zeros(
        2, grad.shape[-1]).unbind()
    return tuple(t.to(grad_BLH.dtype, copy=True) for t in (scale * (upper - share), weight, bias))  # type: ignore


def _before_norm(ids_BL: Tensor, positions_BL: Tensor, types_BL: Tensor, delta_BLH: Tensor, words_VH: Tensor,
                 position_rows_PH: Tensor, type_rows_TH: Tensor) -> Tensor:
    work = torch.promote_types(delta_BLH.dtype, torch.float32)
    return ((words_VH[ids_BL].to(work) + delta_BLH.to(work)) + type_rows_TH[types_BL].to(work)
            ) + position_rows_PH[positions_BL].to(work)


def _dims(mask_BL1: Tensor, width: int, scope: str) -> Tensor:
    """Dimensions that share a ball: the width, or that times an example's content tokens; broadcasts over (B, L, 1)."""
    tokens = torch.ones_like(mask_BL1[:1, :1]) if scope == "token" else mask_BL1.sum(dim=1, keepdim=True)
    return width * tokens.clamp(min=1)


def _length(delta_BLH: Tensor, norm: str, scope: str) -> Tensor:
    """Norm per ball, kept as (B, L, 1) or (B, 1, 1); a zero norm comes out as the smallest positive float."""
    order = float("inf") if norm == "linf" else 2.0
    size = torch.linalg.vector_norm(delta_BLH, order, dim=-1, keepdim=True)
    if scope == "sequence":  # over the norms of rows: torch's one fp32 sum over all numbers can be off by 1e-3
        size = torch.linalg.vector_norm(size, order, dim=-2, keepdim=True)
    return size.clamp(min=torch.finfo(size.dtype).tiny) if norm == "l2" else size


# The registered operations look these up at each call, so that a test which replaces one replaces it everywhere.
ops.register(
    "robust_reference", embedding_forward, embedding_backward, lambda *a: perturb_init(*a),
    lambda *a: perturb_ascend(*a), lambda *a: perturb_project(*a))
