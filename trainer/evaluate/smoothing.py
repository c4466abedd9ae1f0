"""Randomized smoothing at inference: a majority vote over noise at the site, and a certified radius per example.

Source: Cohen, Rosenfeld and Kolter 2019, "Certified Adversarial Robustness via Randomized Smoothing" (ICML),
algorithms PREDICT and CERTIFY. The smoothed classifier is the part of the model above the perturbation site. Its input
x is one example's content tokens at the site, T vectors of width H, as one vector of T * H numbers; the number of
tokens and the vectors of special tokens are fixed.

    f(x)  class predicted by the model without dropout
    g(x)  most frequent class of f(x + z), z ~ N(0, sigma^2 I)
    p     lower bound of P[f(x + z) = c], c the class to certify, at confidence 1 - alpha (Clopper and Pearson 1934)
    R     sigma * Phi^-1(p) if p > 1/2; otherwise there is no certificate: g abstains

With probability 1 - alpha over the noise, for each example separately, g(x + d) = c for every perturbation d of these
T * H numbers with ||d||_2 < R. The certificate covers a change of words below the site only if it moves the vectors by
less, it does not cover f itself, and it holds up to rounding.

Inputs: a SiteModel, `Examples`, `Smoothing` settings. Outputs: counts of votes, predictions, certificates.
Shapes: N examples, B examples of a batch, L tokens, H width, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator
from scipy import special
from torch import Tensor

from data_prep.base.errors import InputError
from trainer.config.load import from_dotted, known_keys, load_recipe
from trainer.data.loader import Examples, evaluation_batches
from trainer.kernels import philox
from trainer.kinds.batch import Batch
from trainer.model.site import SiteModel
from trainer.robust.settings import SITE_PATTERN, site_of
from trainer.robust.terms import ball_norms
from trainer.runs.folder import CONFIG
from trainer.settings import Section

# Draws of the smoothing stream: the samples that choose a class and those that certify it must be independent.
_SELECTION, _CERTIFICATION = 0, 1

Counts = npt.NDArray[np.int64]


class Smoothing(Section):
    """Settings of randomized smoothing; no value of `samples` or `sigma` suits every model, so they have no default."""

    samples: int = Field(ge=1, lt=2**32)
    """Noisy passes per example for its certificate, n; the largest radius that can be certified grows with n."""
    sigma: float = Field(gt=0, le=1e6)
    """Standard deviation of the noise per coordinate, absolute; the noise of a token has norm sigma * sqrt(H)."""
    selection_samples: int = Field(default=100, ge=1, lt=2**32)
    """Further noisy passes per example, which choose the class to certify, n0."""
    alpha: float = Field(default=0.001, gt=0, lt=1)
    """Upper bound of the probability that a certificate is wrong."""
    site: str | None = Field(default=None, pattern=f"^({SITE_PATTERN})$")
    """Site of the noise: `word_embeddings`, `embeddings` or `layer:K`; None is the run's robust.site."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of the noise, a function of (seed, number of the sample, example id, token, dimension)."""

    @model_validator(mode="after")
    def _can_certify(self) -> Smoothing:
        if self.samples < (fewest := fewest_samples(self.alpha)):
            raise ValueError(f"{self.samples} samples, all alike, still certify nothing at alpha {self.alpha:g}; "
                             f"set smoothing.samples to at least {fewest}")
        return self


class Options(Section):
    """Dotted keys of `evaluate`."""

    smoothing: Smoothing


def read_settings(given: Mapping[str, str], run: Path) -> Smoothing | None:
    """Settings from dotted keys as typed, with the `site` of the run's recipe by default; None if no key is given.

    Raises InputError for unknown keys, invalid values, and samples without sigma or sigma without samples.
    """
    if not given:
        return None
    if set(given) <= set(known_keys(Options)):
        for key in ("smoothing.samples", "smoothing.sigma"):
            if key not in given:
                raise InputError(f"{', '.join(given)} without {key}; smoothing needs --smoothing.samples (say 1000) "
                                 "and --smoothing.sigma (a length at the site)")
    settings = from_dotted(Options, given).smoothing
    return settings if settings.site else settings.model_copy(update={"site": _site_of(run)})


def fewest_samples(alpha: float) -> int:
    """Smallest n whose bound exceeds 1/2 if all n votes agree: alpha^(1/n) > 1/2."""
    fewest = max(1, math.floor(math.log(alpha) / math.log(0.5)))
    while alpha ** (1.0 / fewest) <= 0.5:
        fewest += 1
    return fewest


@dataclass(frozen=True)
class Votes:
    """Number of predictions of each class under noise, rows in the order of the examples."""

    selection_NC: Counts
    """Over the samples that choose the class to certify."""
    certification_NC: Counts
    """Over the samples that certify it; a sample with non-finite logits votes for no class."""
    token_norm: float
    """Mean L2 norm of a content token's vector at the site."""
    width: int
    """H, the width of the model at the site."""


@torch.no_grad()
def count_votes(
    model: SiteModel, examples: Examples, settings: Smoothing, batch_size: int, device: torch.device,
    advance: Callable[[int], object] = lambda passes: None,
) -> Votes:
    """Count the predictions of `model`, in evaluation mode, for each example under noise at its site.

    The layers below the site run once per batch. A forward pass has at most `batch_size` rows: several samples of a
    smaller batch share a pass. advance: called with the number of rows passed.
    """
    was_training = model.training
    model.eval()  # the certificate is for a fixed f, without dropout
    classes = model.model.config.num_labels
    selection_NC = np.zeros((len(examples), classes), dtype=np.int64)
    certification_NC = np.zeros_like(selection_NC)
    norms, tokens, width = 0.0, 0, 0
    for rows, cpu_batch in evaluation_batches(examples, batch_size):
        batch = cpu_batch.to(device)
        x_BLH = model(batch, only_below=True)
        width = x_BLH.shape[2]
        sizes = ball_norms(x_BLH, batch.content_mask, "l2", "token")
        norms, tokens = norms + float(sizes.double().sum()), tokens + sizes.numel()
        for draw, samples, counts_NC in ((_SELECTION, settings.selection_samples, selection_NC),
                                         (_CERTIFICATION, settings.samples, certification_NC)):
            together = max(1, batch_size // len(rows))
            for start in range(0, samples, together):
                numbers = range(start, min(start + together, samples))
                counts_NC[rows] += _votes(model, batch, x_BLH, settings, draw, numbers, classes).cpu().numpy()
                advance(len(rows) * len(numbers))
    model.train(was_training)
    return Votes(selection_NC, certification_NC, norms / max(1, tokens), width)


def noise(settings: Smoothing, draw: int, number: int, batch: Batch, width: int) -> Tensor:
    """Gaussian noise z of one sample, (B, L, H) fp32: standard deviation sigma on content tokens, zero elsewhere."""
    z_BLH = philox.gaussian(settings.seed, number, batch.example_ids, batch.input_ids.shape[1], width,
                            philox.STREAM_SMOOTHING + draw)
    return torch.where(batch.content_mask.unsqueeze(-1), settings.sigma * z_BLH, 0.0)


def lower_bound(successes: npt.ArrayLike, trials: npt.ArrayLike, alpha: float) -> npt.NDArray[np.float64]:
    """One-sided Clopper-Pearson lower bound of the probability of success, at confidence 1 - alpha; broadcasts.

    It is the p at which `successes` or more of `trials` have probability alpha: a beta quantile.
    """
    k, n = np.broadcast_arrays(np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64))
    return np.where(k > 0, special.betaincinv(np.maximum(k, 1.0), n - k + 1.0, alpha), 0.0)


def certify(votes: Votes, settings: Smoothing) -> tuple[Counts, npt.NDArray[np.float64]]:
    """CERTIFY of Cohen et al.: (class, radius) per example, shapes (N,); class -1 and radius 0 where it abstains."""
    chosen = votes.selection_NC.argmax(axis=1)
    successes = np.take_along_axis(votes.certification_NC, chosen[:, None], axis=1)[:, 0]
    p = lower_bound(successes, settings.samples, settings.alpha)
    radius = settings.sigma * special.ndtri(np.maximum(p, 0.5))
    return np.where(p > 0.5, chosen, -1), np.where(p > 0.5, radius, 0.0)


def vote(votes: Votes, alpha: float) -> Counts:
    """PREDICT of Cohen et al.: majority class per example, shape (N,); -1 where the top two are too close.

    Too close: a two-sided binomial test of equal probabilities of the two has p > alpha. The votes are those of the
    certificates, so that the two statements are not independent of each other.
    """
    ordered = np.sort(votes.certification_NC, axis=1)
    first, second = ordered[:, -1], ordered[:, -2]
    p = np.minimum(1.0, 2.0 * special.bdtrc(first - 1.0, first + second, 0.5))
    clear = (first > second) & (p <= alpha)
    return np.where(clear, votes.certification_NC.argmax(axis=1), -1)


def _votes(model: SiteModel, batch: Batch, x_BLH: Tensor, settings: Smoothing, draw: int, numbers: range,
           classes: int) -> Tensor:
    """(B, C) votes of the samples `numbers`, in one forward pass; the kind's logits are (B, C)."""
    wide = batch.map(lambda tensor: _copies(tensor, len(numbers)))
    z = torch.cat([noise(settings, draw, number, batch, x_BLH.shape[2]) for number in numbers])
    # Added in fp32, then rounded: the noise is Gaussian, and the rounding to a narrow type is part of f.
    logits = model(wide, x_BLH=(_copies(x_BLH, len(numbers)).float() + z).to(x_BLH.dtype))
    voted = torch.nn.functional.one_hot(logits.argmax(dim=-1), classes)
    voted = voted * torch.isfinite(logits).all(dim=-1, keepdim=True)
    return voted.view(len(numbers), -1, classes).sum(dim=0)


def _copies(x: Tensor, count: int) -> Tensor:
    return x.repeat(count, *[1] * (x.dim() - 1))


def _site_of(run: Path) -> str:
    """Site of the run's merged recipe."""
    config = run / CONFIG
    if not config.is_file():
        raise InputError(f"{config} is missing, which holds the run's robust.site; give --smoothing.site")
    try:
        return site_of(load_recipe(str(config), announce=False).robust)
    except InputError as error:
        raise InputError(f"{error}; to use no site from there, give --smoothing.site") from None
