"""Forward passes over a language and its English translation: distances, accuracy, accuracy under noise.

Inputs: a SiteModel without dropout, `Examples` of two row-aligned cells. Outputs: numbers per example, in row order;
memory holds the activations of one batch.
Shapes: N examples, B examples of a batch, L tokens, H width, S noise scales.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainer.data.loader import Examples
from trainer.diagnose.distance import Distances, distances, inside_radius
from trainer.kernels import philox
from trainer.kinds.batch import Batch
from trainer.model.site import SiteModel
from trainer.robust.settings import BallSettings
from trainer.robust.terms import ball_norms

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """Gaussian noise; scales are relative to the mean English token norm at the site."""

    scales: Sequence[float]
    draws: int
    seed: int


@dataclass(frozen=True)
class Ball:
    """Ball of a run's training: full radius as a length at the site, and its settings."""

    radius: float
    settings: BallSettings


@dataclass(frozen=True)
class Measured:
    """Measurements of one language, in row order; shape (N,) unless noted."""

    site: Floats  # (N, 3): token distance, sentence distance, cosine at the site
    last: Floats  # (N, 3): the same at the last layer
    inside: Floats | None  # (N, 3): the fields of `distance.Inside`; None without a ball
    right: Floats | None  # 1.0 right, 0.0 wrong, without noise; None without labels
    right_under_noise: Floats | None  # (N, S): share of draws in which the prediction is right


@torch.no_grad()
def english_norms(model: SiteModel, english: Examples, batch_size: int, device: torch.device) -> tuple[float, float]:
    """Mean L2 norm of the English content tokens at the site and at the last layer."""
    rows = np.arange(len(english))
    totals, count = np.zeros(2), 0
    for _, batch in _batches(english, rows, batch_size, device):
        x_BLH = model(batch, only_below=True)
        sizes = [ball_norms(x, batch.content_mask, "l2", "token") for x in (x_BLH, model.above(x_BLH, batch))]
        totals += [float(size.double().sum()) for size in sizes]
        count += sizes[0].numel()
    at_site, at_last = totals / max(1, count)
    return float(at_site), float(at_last)


@torch.no_grad()
def measure(
    model: SiteModel, examples: Examples, rows: npt.NDArray[np.int64], english: Examples,
    english_rows: npt.NDArray[np.int64], *, ball: Ball | None, noise: Noise | None, site_norm: float,
    batch_size: int, device: torch.device, advance: Callable[[int], object] = lambda rows: None,
) -> Measured:
    """Measure `examples[rows]` against `english[english_rows]`, row by row.

    noise: None leaves out what needs labels. site_norm: mean English token norm at the site, the unit of the noise.
    advance: called with the number of examples done. The layers below the site run once per batch.
    """
    size = len(rows)
    at_site, at_last = np.empty((size, 3)), np.empty((size, 3))
    inside = np.empty((size, 3)) if ball else None
    right = np.empty(size) if noise else None
    noisy = np.empty((size, len(noise.scales))) if noise else None
    for places, batch in _batches(examples, rows, batch_size, device):
        partner = english[0, english_rows[places]].to(device)
        x_BLH, y_BMH = model(batch, only_below=True), model(partner, only_below=True)
        m_BL, m_BM = batch.content_mask, partner.content_mask
        at_site[places] = _columns(distances(x_BLH, m_BL, y_BMH, m_BM))
        if ball is not None and inside is not None:
            s = ball.settings
            found = inside_radius(x_BLH, m_BL, y_BMH, m_BM, ball.radius, s.norm, s.scope)
            inside[places] = torch.stack((found.balls, found.of, found.sentence), dim=1).cpu().numpy()
        h_BLH = model.above(x_BLH, batch)
        at_last[places] = _columns(distances(h_BLH, m_BL, model.above(y_BMH, partner), m_BM))
        if noise is not None and right is not None and noisy is not None:
            clean = _right(model, model.logits(h_BLH, batch), batch)
            right[places] = clean
            noisy[places] = _right_under_noise(model, batch, x_BLH, noise, site_norm, clean)
        advance(len(places))
    return Measured(at_site, at_last, inside, right, noisy)


def gaussian_noise(batch: Batch, width: int, noise: Noise, draw: int) -> Tensor:
    """(B, L, H) fp32 noise on content tokens, root mean square norm 1 per token.

    Counter-based: a function of (seed, draw, example id, token, dimension), independent of the batch; all scales, and
    rows of equal id in all languages, share directions.
    """
    z_BLH = philox.gaussian(noise.seed, 0, batch.example_ids, batch.input_ids.shape[1], width,
                            philox.STREAM_NOISE + draw)
    return torch.where(batch.content_mask.unsqueeze(-1), z_BLH / math.sqrt(width), 0.0)


def _right_under_noise(
    model: SiteModel, batch: Batch, x_BLH: Tensor, noise: Noise, site_norm: float, clean_B: Floats
) -> Floats:
    """(B, S) share of draws with a right prediction; `clean_B` at scale 0."""
    right_BS = np.zeros((len(clean_B), len(noise.scales)))
    for draw in range(noise.draws):
        z_BLH = gaussian_noise(batch, x_BLH.shape[-1], noise, draw)
        for column, scale in enumerate(noise.scales):
            if scale == 0.0:
                right_BS[:, column] += clean_B
                continue
            logits = model(batch, x_BLH=(x_BLH.float() + scale * site_norm * z_BLH).to(x_BLH.dtype))
            right_BS[:, column] += _right(model, logits, batch)
    return right_BS / noise.draws


def _right(model: SiteModel, logits_BC: Tensor, batch: Batch) -> Floats:
    right: Floats = (model.kind.decode(logits_BC, batch) == model.kind.gold(batch)).astype(np.float64)
    return right


def _columns(found: Distances) -> Floats:
    columns: Floats = torch.stack((found.token, found.sentence, found.cosine), dim=1).double().cpu().numpy()
    return columns


def _batches(
    examples: Examples, rows: npt.NDArray[np.int64], batch_size: int, device: torch.device
) -> Iterator[tuple[npt.NDArray[np.int64], Batch]]:
    """(indices in `rows`, batch), longest first, so that too little memory shows in the first batch."""
    order = np.argsort(-examples.lengths[rows], kind="stable")
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        yield places, examples[0, rows[places]].to(device)
