"""The context's gradients against finite differences in float64, at every site, and the weights that mixup draws."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from data_prep.shards import open_cell
from trainer.config import load_recipe
from trainer.config.schema import RobustSection
from trainer.context import StepContext
from trainer.data.loader import Examples
from trainer.kernels import reference
from trainer.model.build import build_model
from trainer.model.heads import HEADS
from trainer.model.site import SiteModel
from trainer.robust.mixup import _weights
from trainer.robust.terms import symmetric_divergence

EDGE = 1e-5  # of the finite differences; their error is its square
DIRECTIONS = 20


def context(shards: Path, tmp_path: Path, site: str, loss_scale: float = 1.0) -> StepContext:
    """A micro-batch of four rows on a float64 model, behind an engine that does nothing but hold it."""
    recipe = tmp_path / "r.yaml"
    recipe.write_text("model: {random: tiny, dropout: 0.0}\nschedule: {updates: 1}\ndata: {train: [a/b/c]}\n")
    cell = open_cell(shards / "xnli/train/en")
    model, _ = build_model(load_recipe(str(recipe)), cell.manifest, 24)
    module = SiteModel(model, HEADS["pair"], site).double()
    for parameter in module.parameters():  # far from the flat start, where every gradient is nearly zero
        parameter.data.mul_(4.0)
    engine: Any = SimpleNamespace(module=module, loss_scale=loss_scale, ranks=SimpleNamespace(world_size=1))
    return StepContext(engine, reference, RobustSection(method="smart"), Examples([cell], 24)[0, np.arange(4)],
                       epsilon=1.0, seed=0, update=0, global_weight=4, ends_update=True)


@pytest.mark.parametrize("loss_scale", [1.0, 1024.0])
@pytest.mark.parametrize("objective", ["loss", "divergence"])
@pytest.mark.parametrize("site", ["word_embeddings", "embeddings", "layer:1"])
def test_input_gradients_agree_with_finite_differences(
    shards: Path, tmp_path: Path, site: str, objective: str, loss_scale: float
) -> None:
    ctx = context(shards, tmp_path, site, loss_scale)
    x_BLH, m_BL = ctx.site()
    clean = ctx.loss(ascent=True)[1].detach()
    generator = torch.Generator().manual_seed(1)

    def random() -> Tensor:
        return torch.randn(x_BLH.shape, generator=generator, dtype=torch.float64) * m_BL.unsqueeze(-1)

    def value(delta: Tensor) -> Tensor:
        loss, logits = ctx.loss(delta, ascent=True)
        return loss if objective == "loss" else symmetric_divergence(ctx, clean, logits)

    at = (0.3 * random()).requires_grad_(True)
    grad = ctx.input_grad(value(at), at).double()
    assert all(parameter.grad is None for parameter in ctx._engine.module.parameters())
    for _ in range(DIRECTIONS):
        way = random()
        with torch.no_grad():
            slope = (value(at + EDGE * way) - value(at - EDGE * way)) / (2 * EDGE)
        assert float((grad * way).sum()) == pytest.approx(float(slope), rel=1e-5, abs=1e-7)


def test_weights_of_mixtures_follow_the_folded_beta_law() -> None:
    uniform = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    for alpha in (0.5, 1.0, 4.0):
        ctx: Any = SimpleNamespace(settings=RobustSection(mixing_alpha=alpha), uniform=lambda: uniform)
        weights = _weights(ctx).double().numpy()
        assert weights.min() >= 0.5
        cdf = stats.beta(alpha, alpha).cdf
        expected = np.sort(cdf(weights) - cdf(1 - weights))  # uniform, if the law is right
        assert np.abs(expected - (np.arange(2000) + 0.5) / 2000).max() < 0.01


def test_an_ascent_gradient_that_is_not_finite_is_reported(shards: Path, tmp_path: Path) -> None:
    ctx = context(shards, tmp_path, "word_embeddings")
    assert ctx.figures() == {}
    x_BLH, m_BL = ctx.site()
    delta = torch.zeros_like(x_BLH).requires_grad_(True)
    ctx.input_grad((delta * x_BLH).sum(), delta)
    place = m_BL.nonzero()[0]
    weights = torch.ones_like(x_BLH)
    weights[place[0], place[1], 3] = float("nan")
    weights[~m_BL] = float("inf")  # where nothing is perturbed, nothing counts
    ctx.input_grad((delta * weights).sum(), delta)
    share, total = ctx.figures()["ascent_not_finite_share"]
    assert int(share) == 1
    assert int(total) == 2 * int(m_BL.sum())
