"""Distances between the tokens of a sentence and those of its English translation, at one layer of the model.

A *sentence* is the whole model input of an example, for pairs premise and hypothesis together; only content tokens
count (no padding, no special tokens). Tokens are matched greedily to the nearest one of the English sentence, as in
BERTScore (Zhang et al. 2020, arXiv 1904.09675, section 3), by L2 distance instead of cosine, since a radius is one.

Inputs: representations of a batch and of its row-aligned English batch. Outputs: numbers per example.
Shapes: B examples, L tokens of the language, M tokens of English, H width; m true on content tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Distances:
    """Distances per example, (B,) fp32; NaN where a side has no content token."""

    token: Tensor  # mean over its content tokens of the L2 distance to the nearest English content token
    sentence: Tensor  # L2 distance between the means of the content tokens' vectors
    cosine: Tensor  # cosine between those means


@dataclass(frozen=True)
class Inside:
    """Counts inside the trained radius per example, (B,)."""

    balls: Tensor  # balls inside: tokens, or 0 or 1 for a sentence
    of: Tensor  # balls in total: content tokens, or 1
    sentence: Tensor  # bool: the sentence distance does not rule out that all tokens are inside


def distances(x_BLH: Tensor, m_BL: Tensor, english_BMH: Tensor, m_BM: Tensor) -> Distances:
    """Distances of each example to its English translation, computed in fp32."""
    near_BL = nearest(x_BLH, english_BMH, m_BM, 2.0)
    token = torch.where(m_BL, near_BL, 0.0).sum(dim=1) / m_BL.sum(dim=1)
    mean, english = content_mean(x_BLH, m_BL), content_mean(english_BMH, m_BM)
    return Distances(torch.where(m_BM.any(dim=1), token, torch.nan),  # a distance to no token is inf
                     torch.linalg.vector_norm(mean - english, dim=-1),
                     torch.nn.functional.cosine_similarity(mean, english, dim=-1))


def inside_radius(
    x_BLH: Tensor, m_BL: Tensor, english_BMH: Tensor, m_BM: Tensor, radius: float, norm: str, scope: str
) -> Inside:
    """Balls of the trained radius around English tokens that contain the language's tokens; distances in `norm`.

    Scope "token": a ball per token; a token is inside if its nearest English token is within the radius. Scope
    "sequence": one ball for all tokens of an example; a sentence is inside if moving every token from its nearest
    English token takes a perturbation of norm sqrt(sum of squared distances) ("l2") or max ("linf") of at most the
    radius.

    `sentence` is a necessary condition on the means. If every token is within the radius of an English token of its
    own, one to one, the mean of the differences d_i is no longer than the radius (triangle inequality); in an L2 ball
    around the sequence, no longer than radius / sqrt(n), since ||sum d_i|| <= sqrt(n) sqrt(sum ||d_i||^2)
    (Cauchy-Schwarz). It is not sufficient.
    """
    order = float("inf") if norm == "linf" else 2.0
    near_BL = torch.where(m_BL, nearest(x_BLH, english_BMH, m_BM, order), 0.0)
    apart = torch.linalg.vector_norm(content_mean(x_BLH, m_BL) - content_mean(english_BMH, m_BM), order, dim=-1)
    count = m_BL.sum(dim=1)
    if scope == "token":
        return Inside(((near_BL <= radius) & m_BL).sum(dim=1), count, apart <= radius)
    whole = torch.linalg.vector_norm(near_BL, order, dim=1) <= radius
    reach = radius if norm == "linf" else radius / count.sqrt()
    return Inside(whole.long(), torch.ones_like(count), apart <= reach)


def nearest(x_BLH: Tensor, english_BMH: Tensor, m_BM: Tensor, order: float) -> Tensor:
    """(B, L) distance of every token to the nearest English content token in the norm of this order."""
    # The matrix-product form cancels: a token would have a distance to itself.
    apart_BLM = torch.cdist(x_BLH.float(), english_BMH.float(), p=order,
                            compute_mode="donot_use_mm_for_euclid_dist")
    return apart_BLM.masked_fill(~m_BM.unsqueeze(1), float("inf")).amin(dim=-1)


def content_mean(x_BLH: Tensor, m_BL: Tensor) -> Tensor:
    """(B, H) mean of the content tokens' vectors, NaN for an example without any."""
    mask = m_BL.unsqueeze(-1)
    return torch.where(mask, x_BLH.float(), 0.0).sum(dim=1) / mask.sum(dim=1)
