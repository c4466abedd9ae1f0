"""The context's gradients against finite differences in float64, at every site, and the weights that mixup draws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from data_prep.shards.read import open_cell
from trainer.config import load_recipe
from trainer.data.loader import Examples
from trainer.engine.step_context import StepContext
from trainer.kernels import reference
from trainer.kinds import KINDS
from trainer.model.build import build_model
from trainer.model.site import SiteModel
from trainer.robust import METHODS, MethodSettings, settings_for
from trainer.robust.mixup import Mixup, _weights
from trainer.robust.pgd import PGD
from trainer.robust.smart import SMART
from trainer.robust.terms import symmetric_divergence

EDGE = 1e-5  # of the finite differences; their error is its square
DIRECTIONS = 20


class PlainEngine:
    """What a context asks of an engine, on one rank and without ZeRO."""

    def __init__(self, module: SiteModel, loss_scale: float) -> None:
        self.module, self.loss_scale, self.ranks = module, loss_scale, SimpleNamespace(world_size=1)

    def __call__(self, *inputs: Any) -> Any:
        return self.module(*inputs)

    def backward(self, loss: Tensor, last: bool) -> None:
        loss.backward()


def settings_of(method: str, **more: Any) -> MethodSettings:
    given = {"draws": 2, "clean_weight": 1.0, "ascent_steps": 2, **more}
    return METHODS[method].settings(**settings_for(method, given))


def context(shards: Path, tmp_path: Path, site: str, loss_scale: float = 1.0, dropout: float = 0.0,
            settings: MethodSettings | None = None) -> StepContext:
    """A micro-batch of four rows on a float64 model, behind an engine that does nothing but hold it."""
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"model: {{random: tiny, dropout: {dropout}}}\nschedule: {{max_steps: 1}}\ndata: {{train: [a/b/c]}}\n")
    cell = open_cell(shards / "xnli/train/en")
    model, _ = build_model(load_recipe(str(recipe)), cell.manifest, 24)
    module = SiteModel(model, KINDS["pair"], site).double()
    for parameter in module.parameters():  # far from the flat start, where every gradient is nearly zero
        parameter.data.mul_(4.0)
    engine: Any = PlainEngine(module, loss_scale)
    settings = settings or SMART()
    return StepContext(engine, reference, settings, Examples([cell], 24)[0, np.arange(4)],
                       epsilon=1.0, seed=0, step=0, global_weight=4, ends_step=True)


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


@pytest.mark.parametrize("site", ["embeddings", "layer:1"])
@pytest.mark.parametrize("method", sorted(set(METHODS) - {"mixup"}))
def test_all_passes_of_a_step_share_one_pass_below_the_site(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, site: str
) -> None:
    """The layers below run once, in a graph that reaches the weights, so dropout masks there are the same for all."""
    settings = settings_of(method)
    ctx = context(shards, tmp_path, site, dropout=0.5, settings=settings)
    ctx.epsilon = 1e-9  # so that passes differ by what dropout does, if by anything
    model = ctx._engine.module
    below, above = [], []
    monkeypatch.setattr(model, "_below", lambda batch, f=model._below: below.append(f(batch)) or below[-1])
    monkeypatch.setattr(model, "above", lambda x, batch, f=model.above: above.append(x.detach()) or f(x, batch))
    torch.manual_seed(0)
    METHODS[method].step(ctx)
    assert len(below) == 1
    for seen in above:
        torch.testing.assert_close(seen, below[0].detach(), rtol=0, atol=1e-8)
    assert len(above) == {"plain": 1, "fgm": 3, "freelb": 3, "pgd": 4, "random_noise": 3, "r3f": 3}.get(method, 4)
    dropped = below[0].detach() == 0
    assert 0.4 < float(dropped.double().mean()) < 0.6 or site == "layer:1"  # dropout is on; a layer's norm hides zeros
    grad = model.model.roberta.embeddings.word_embeddings.weight.grad
    assert grad is not None
    assert float(grad.abs().max()) > 0


def logits_of_passes(ctx: StepContext, monkeypatch: pytest.MonkeyPatch, method: str) -> list[Tensor]:
    """The logits of every pass above the site of one step."""
    seen: list[Tensor] = []
    model, kind = ctx._engine.module.tasks[""]
    original = kind.logits

    def logits(*inputs: Any) -> Tensor:
        seen.append(original(*inputs))
        return seen[-1]

    with monkeypatch.context() as patch:
        patch.setitem(ctx._engine.module.tasks, "", (model, replace(kind, logits=logits)))
        METHODS[method].step(ctx)
    return [value.detach() for value in seen]


@pytest.mark.parametrize("site", ["word_embeddings", "layer:1"])
@pytest.mark.parametrize("method", sorted(set(METHODS) - {"plain", "mixup"}))
def test_passes_share_dropout_masks_only_on_request(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, site: str
) -> None:
    for shared in (True, False):
        settings = settings_of(method, shared_dropout=shared)
        ctx = context(shards, tmp_path, site, dropout=0.3, settings=settings)
        ctx.epsilon = 1e-9  # so that logits differ by dropout masks only
        first, *others = logits_of_passes(ctx, monkeypatch, method)
        assert others
        for logits in others:
            assert torch.allclose(logits, first, rtol=0, atol=1e-6) is shared


def test_micro_batches_do_not_share_masks(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two micro-batches goes on drawing where one pass of the first ended, not where it began."""
    settings = PGD(shared_dropout=True)
    torch.manual_seed(3)
    ctx = context(shards, tmp_path, "embeddings", dropout=0.3, settings=settings)
    again = StepContext(ctx._engine, reference, settings, ctx._batch, epsilon=1.0, seed=0, step=0, global_weight=4,
                        ends_step=True)
    ctx.epsilon = again.epsilon = 1e-9
    one, two = (logits_of_passes(each, monkeypatch, "pgd")[0] for each in (ctx, again))
    assert float((one - two).abs().max()) > 1e-3


def test_weights_of_mixtures_follow_the_folded_beta_law() -> None:
    uniform = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    for alpha in (0.5, 1.0, 4.0):
        ctx: Any = SimpleNamespace(settings=Mixup(mixing_alpha=alpha), uniform=lambda: uniform)
        weights = _weights(ctx).double().numpy()
        assert weights.min() >= 0.5
        cdf = stats.beta(alpha, alpha).cdf
        expected = np.sort(cdf(weights) - cdf(1 - weights))  # uniform, if the law is right
        assert np.abs(expected - (np.arange(2000) + 0.5) / 2000).max() < 0.01


def test_an_ascent_gradient_that_is_not_finite_is_reported(shards: Path, tmp_path: Path) -> None:
    ctx = context(shards, tmp_path, "word_embeddings")
    assert ctx.metrics() == {}
    x_BLH, m_BL = ctx.site()
    delta = torch.zeros_like(x_BLH).requires_grad_(True)
    ctx.input_grad((delta * x_BLH).sum(), delta)
    place = m_BL.nonzero()[0]
    weights = torch.ones_like(x_BLH)
    weights[place[0], place[1], 3] = float("nan")
    weights[~m_BL] = float("inf")  # where nothing is perturbed, nothing counts
    ctx.input_grad((delta * weights).sum(), delta)
    share, total = ctx.metrics()["ascent_not_finite_share"]
    assert int(share) == 1
    assert int(total) == 2 * int(m_BL.sum())
