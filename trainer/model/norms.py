"""Mean norm of clean representations at the perturbation site, the unit of a relative epsilon.

Inputs: a SiteModel, training examples of each task, a method's ball. Output: a length at the site.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch

from data_prep.base.errors import InputError
from trainer.data.loader import Examples
from trainer.kinds.batch import Batch
from trainer.model.site import SiteModel
from trainer.robust.settings import BallSettings
from trainer.robust.terms import ball_norms

SITE_NORM_EXAMPLES = 512  # sample size of the mean


def measure_site_norm(
    model: SiteModel, examples: Mapping[Examples, float], settings: BallSettings, batch_size: int, seed: int,
    device: torch.device,
) -> float:
    """Mean norm of clean balls at the site, over a sample of examples drawn with `seed`, without dropout.

    examples: of every task, with its share of the sample; one radius holds for all, as one encoder does.

    A ball is a content token's row (scope "token") or all of an example's (scope "sequence"); its norm is that of
    `settings`, so that a relative epsilon is the same share of the signal in every norm and scope. Every rank must
    call it (ZeRO-3) and computes the same batches, so that all get the same number to the last bit.
    Raises InputError where it is not positive or not finite.
    """

    def sample() -> Iterator[Batch]:
        for of_task, share in examples.items():
            drawn = np.random.default_rng(seed).permutation(len(of_task))[: math.ceil(share * SITE_NORM_EXAMPLES)]
            rows = np.sort(drawn)
            for start in range(0, len(rows), batch_size):
                yield of_task[0, rows[start : start + batch_size]].to(device)

    norm = mean_norm(model, sample(), settings)
    if not 0 < norm < math.inf:
        raise InputError(f"robust.relative: the mean norm at {settings.site} is {norm:g}, expected a positive number; "
                         "check the model's weights, or set an absolute epsilon (robust.relative false)")
    return norm


@torch.no_grad()
def mean_norm(model: SiteModel, batches: Iterable[Batch], settings: BallSettings) -> float:
    """Mean norm of the clean balls of `batches` at the site, without dropout; 0 without any ball."""
    was_training = model.model.training
    model.eval()
    total, count = 0.0, 0
    for batch in batches:
        norms = ball_norms(model(batch, only_below=True), batch.content_mask, settings.norm, settings.scope)
        total, count = total + float(norms.double().sum()), count + norms.numel()
    model.train(was_training)
    return total / max(1, count)
