"""The robust methods against losses whose worst case is known in closed form, on a context of a few lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer.kernels import reference
from trainer.robust import METHODS, Metrics, settings_for
from trainer.robust.fgm import FGM
from trainer.robust.schedule import radius
from trainer.robust.terms import ball_norms

B, L, H, EPSILON = 3, 5, 8, 0.3


class FakeContext:
    """A micro-batch whose loss is a given function of x + delta; records what a method asks for."""

    def __init__(self, loss: Callable[[Tensor], Tensor], epsilon: float = EPSILON, **settings: Any) -> None:
        method = settings.pop("method", "plain")
        self.settings: Any = METHODS[method].settings(**settings)
        self.kernels = reference
        self.epsilon = epsilon
        self.weight = torch.tensor(B)
        self.x = torch.randn(B, L, H, generator=torch.Generator().manual_seed(0))
        self.m = torch.ones(B, L, dtype=torch.bool)
        self.m[:, 0] = self.m[0, 3:] = False
        self.theta = torch.tensor(1.0, requires_grad=True)
        self._loss = loss
        self.asked: list[str] = []
        self.deltas: list[Tensor] = []
        self.ascent_deltas: list[Tensor] = []
        self.update: Tensor | None = None

    def site(self) -> tuple[Tensor, Tensor]:
        return self.x, self.m

    def loss(self, delta_BLH: Tensor | None = None, *, ascent: bool = False) -> tuple[Tensor, Tensor]:
        self.asked.append("ascent" if ascent else "clean" if delta_BLH is None else "update")
        if delta_BLH is not None and not ascent:
            assert not delta_BLH.requires_grad, "the update must not differentiate through the perturbation"
            self.deltas.append(delta_BLH)
        if delta_BLH is not None and ascent:
            self.ascent_deltas.append(delta_BLH.detach().clone())
        value = self.theta * self._loss(self.x if delta_BLH is None else self.x + delta_BLH)
        return value, value

    def input_grad(self, loss: Tensor, delta_BLH: Tensor) -> Tensor:
        return torch.autograd.grad(loss, delta_BLH)[0]

    def backward(self, loss: Tensor, *, last: bool = True) -> None:
        assert last
        assert self.update is None, "one backward per step"
        self.update = loss
        loss.backward()

    def accumulate(self, delta_BLH: Tensor, share: float, *, last: bool) -> tuple[Tensor, Tensor]:
        assert self.update is None, "nothing follows the last pass"
        self.asked.append("accumulate")
        point = delta_BLH.detach().requires_grad_(True)
        self.deltas.append(delta_BLH)
        value = self.theta * self._loss(self.x + point)
        (share * value).backward()
        self.shared = getattr(self, "shared", 0.0) + share * value.detach()
        if last:
            self.update = self.shared
        assert point.grad is not None
        return value.detach(), point.grad / share

    def divergence(self, logits: Tensor, other: Tensor) -> Tensor:
        return (other - logits).square()

    def losses(self, logits: Tensor, *, of_partner: bool = False) -> Tensor:
        return logits.expand(B)

    def ema_logits(self) -> Tensor:
        return self.theta.detach()

    def towards_partner(self) -> Tensor:
        return self.x.flip(0) - self.x

    def uniform(self) -> Tensor:
        return torch.linspace(0.1, 0.9, B, dtype=torch.float64)

    def noise(self, kind: str, draw: int) -> Tensor:
        s = self.settings
        return reference.perturb_init(self.x, self.m, self.epsilon, s.norm, s.scope, kind, 0, 0, torch.arange(B),
                                      draw)[1]


W = torch.randn(B, L, H, generator=torch.Generator().manual_seed(1))


def linear(x: Tensor) -> Tensor:
    return (W * x).sum()


def step(ctx: FakeContext) -> Metrics:
    metrics = METHODS[ctx.settings.method].step(ctx)
    assert ctx.theta.grad is not None
    torch.testing.assert_close(ctx.theta.grad, ctx.update)  # d(theta * loss) / d theta at theta = 1
    return metrics


@pytest.mark.parametrize("scope", ["token", "sequence"])
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize(("steps", "start"), [(1, "zero"), (3, "zero"), (4, "uniform"), (1, "gaussian")])
def test_pgd_finds_the_worst_case_of_a_linear_loss(norm: str, scope: str, steps: int, start: str) -> None:
    ctx = FakeContext(linear, method="pgd", norm=norm, scope=scope, ascent_steps=steps, start=start,
                      ascent_step_size=None if start == "zero" else 1e4)  # from elsewhere one giant step gets there
    metrics = step(ctx)
    w = W * ctx.m[..., None]
    dims = (-1,) if scope == "token" else (-2, -1)
    expected = EPSILON * (w.sign() if norm == "linf" else w / w.norm(dim=dims, keepdim=True).clamp(min=1e-30))
    torch.testing.assert_close(ctx.deltas[0], expected, rtol=1e-5, atol=1e-6 if start == "zero" else 1e-4)
    gain = w.abs().sum() if norm == "linf" else w.norm(dim=dims).sum()
    torch.testing.assert_close(metrics["adversarial_loss"][0], linear(ctx.x) + EPSILON * gain, rtol=1e-4, atol=1e-4)
    assert ctx.asked == ["ascent"] * steps + ["update"]
    total, weight = metrics["boundary_share"]
    assert float(total / weight) == 1.0
    total, weight = metrics["perturbation_norm"]
    assert float(weight) == (ctx.m.sum() if scope == "token" else B)
    assert float(total / weight) == pytest.approx(EPSILON, rel=1e-4)


def test_pgd_walks_to_a_known_maximum_outside_the_ball_of_a_concave_loss() -> None:
    target = 10 * W
    ctx = FakeContext(lambda x: -0.5 * (x - target).square().sum(), method="pgd", ascent_steps=3)
    step(ctx)
    away = (target - ctx.x) * ctx.m[..., None]
    expected = EPSILON * away / away.norm(dim=-1, keepdim=True).clamp(min=1e-30)
    torch.testing.assert_close(ctx.deltas[0], expected, rtol=1e-4, atol=1e-5)


def test_pgd_takes_steps_of_the_length_asked_for() -> None:
    ctx = FakeContext(linear, method="pgd", ascent_steps=2, ascent_step_size=0.25)
    step(ctx)
    norms = ctx.deltas[0].norm(dim=-1)
    torch.testing.assert_close(norms[ctx.m], torch.full_like(norms[ctx.m], 0.5 * EPSILON))
    assert (ctx.deltas[0][~ctx.m] == 0).all()


def test_clean_loss_is_known_for_free_from_a_single_step_from_zero() -> None:
    ctx = FakeContext(linear, method="pgd", ascent_steps=1)
    torch.testing.assert_close(step(ctx)["clean_loss"][0], linear(ctx.x))
    assert "clean" not in ctx.asked
    assert "clean_loss" not in step(FakeContext(linear, method="pgd", start="uniform"))


@pytest.mark.parametrize("method", ["pgd", "random_noise"])
def test_clean_weight_adds_the_clean_loss(method: str) -> None:
    ctx = FakeContext(linear, method=method, clean_weight=2.0)
    metrics = step(ctx)
    perturbed = metrics["adversarial_loss" if method == "pgd" else "noisy_loss"][0]
    torch.testing.assert_close(metrics["loss"][0], perturbed + 2 * linear(ctx.x))
    torch.testing.assert_close(ctx.update, metrics["loss"][0])
    assert ctx.asked.count("clean") == 1


def test_random_noise_averages_independent_draws() -> None:
    ctx = FakeContext(linear, method="random_noise", draws=3)
    metrics = step(ctx)
    assert ctx.asked == ["update"] * 3
    assert len({float(delta.sum()) for delta in ctx.deltas}) == 3
    expected = sum(linear(ctx.x + delta) for delta in ctx.deltas) / 3
    torch.testing.assert_close(metrics["noisy_loss"][0], expected)
    for delta in ctx.deltas:
        assert (delta.norm(dim=-1) <= EPSILON * (1 + 1e-6)).all()
        assert (delta[~ctx.m] == 0).all()


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_radius_of_zero_is_plain_training(method: str) -> None:
    ctx = FakeContext(linear, epsilon=0.0, **settings_for(method, {"draws": 2, "ascent_steps": 3, "clean_weight": 1.0}))
    metrics = step(ctx)
    assert ctx.asked == ["clean"]
    assert set(metrics) == {"loss"}
    torch.testing.assert_close(ctx.update, linear(ctx.x))


def test_the_radius_is_off_then_grows_then_full() -> None:
    ramp = FGM(epsilon=0.2, ramp_start=0.25, ramp_end=0.75)
    found = [radius(ramp, progress, 5.0) for progress in (0.0, 0.2499, 0.25, 0.5, 0.75, 0.9)]
    assert found == pytest.approx([0, 0, 0, 0.5, 1.0, 1.0])
    assert radius(FGM(epsilon=0.2), 0.0, 5.0) == pytest.approx(1.0)
    assert radius(FGM(epsilon=0.2, relative=False), 0.0, 5.0) == 0.2
    sharp = FGM(epsilon=0.2, relative=False, ramp_start=0.5, ramp_end=0.5)
    assert [radius(sharp, progress, None) for progress in (0.49, 0.5)] == [0.0, 0.2]


def test_balls_are_measured_on_content_tokens_in_their_own_norm_and_scope() -> None:
    x = torch.tensor([[[3.0, 4.0], [30.0, 40.0], [0.0, 1.0]]])
    m = torch.tensor([[True, False, True]])
    expected = {("l2", "token"): [5.0, 1.0], ("linf", "token"): [4.0, 1.0],
                ("l2", "sequence"): [26.0**0.5], ("linf", "sequence"): [4.0]}
    for (norm, scope), norms in expected.items():
        assert ball_norms(x, m, norm, scope).tolist() == pytest.approx(norms)


def test_fgm_goes_one_step_to_the_boundary_and_keeps_the_clean_loss() -> None:
    ctx = FakeContext(linear, method="fgm")
    metrics = step(ctx)
    (delta,) = ctx.deltas
    expected = EPSILON * W / W.norm(dim=-1, keepdim=True) * ctx.m.unsqueeze(-1)
    torch.testing.assert_close(delta, expected)
    assert float(metrics["loss"][0]) == pytest.approx(float(linear(ctx.x) + linear(ctx.x + expected)), rel=1e-5)


def test_pgd_of_one_step_from_zero_with_the_clean_loss_is_fgm_and_of_three_is_not() -> None:
    def curved(x: Tensor) -> Tensor:
        return (W * x).sin().sum()

    fgm, one, three = (FakeContext(curved, method=method, **settings) for method, settings in (
        ("fgm", {}), ("pgd", {"ascent_steps": 1, "clean_weight": 1.0}), ("pgd", {"clean_weight": 1.0})))
    metrics = [step(ctx) for ctx in (fgm, one, three)]
    assert torch.equal(fgm.deltas[0], one.deltas[0])
    assert float(metrics[0]["loss"][0]) == pytest.approx(float(metrics[1]["loss"][0]), rel=1e-6)
    assert float(metrics[2]["loss"][0]) > float(metrics[1]["loss"][0]) + 1e-3  # three steps find a worse point


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_method_reads_its_settings_and_no_others(method: str) -> None:
    """Its settings determine its runs: one that nothing reads would tell equal runs apart."""
    settings: Any = METHODS[method].settings

    class Watched(settings):  # type: ignore[misc]
        def __getattribute__(self, name: str) -> Any:
            if name in settings.model_fields:
                read.add(name)
            return super().__getattribute__(name)

    read: set[str] = set()
    ctx = FakeContext(linear)
    ctx.settings = Watched(**settings_for(method, {"start": "uniform" if method == "pgd" else "gaussian", "restarts": 2,
                                                   "bregman_weight": 1.0}))
    read.clear()
    METHODS[method].step(ctx)
    by_others = {"method", "site", "epsilon", "relative", "ramp_start", "ramp_end", "shared_dropout",
                 "bregman_momentum", "partner"}
    assert set(settings.model_fields) - read <= by_others


@pytest.mark.parametrize("method", ["smart", "trades"])
def test_an_ascent_on_a_divergence_starts_in_the_small_ball_and_leaves_it(method: str) -> None:
    ctx = FakeContext(linear, method=method)
    METHODS[method].step(ctx)
    start, found = ctx.ascent_deltas[0][ctx.m].norm(dim=-1), ctx.deltas[0][ctx.m].norm(dim=-1)
    assert float(start.max()) <= 0.1 * EPSILON * (1 + 1e-6)
    assert float(start.min()) > 0.03 * EPSILON
    assert 0.9 * EPSILON <= float(found.min()) <= float(found.max()) <= EPSILON * (1 + 1e-6)
    # The prediction is linear, so the divergence grows fastest along w: from the sphere the cosine would be about 0.7.
    assert float(torch.cosine_similarity(ctx.deltas[0], W, dim=-1)[ctx.m].abs().min()) > 0.99


@pytest.mark.parametrize(("method", "norm"), [("pgd", "l2"), ("pgd", "linf"), ("freelb", "l2"), ("smart", "linf")])
def test_a_random_start_is_the_noise_of_the_smaller_ball(method: str, norm: str) -> None:
    ctx = FakeContext(linear, method=method, norm=norm, start="uniform", start_radius=0.25, ascent_steps=2)
    METHODS[method].step(ctx)
    _, expected = reference.perturb_init(
        ctx.x, ctx.m, 0.25 * EPSILON, norm, "token", "uniform", 0, 0, torch.arange(B), 0)
    torch.testing.assert_close(ctx.deltas[0] if method == "freelb" else ctx.ascent_deltas[0], expected)


def test_freelb_updates_at_every_point_of_the_ascent_and_never_at_the_one_after_it() -> None:
    ctx = FakeContext(linear, method="freelb", ascent_steps=3, start="zero", ascent_step_size=0.25)
    step(ctx)
    assert ctx.asked == ["accumulate"] * 3
    direction = W / W.norm(dim=-1, keepdim=True) * ctx.m.unsqueeze(-1)
    for number, delta in enumerate(ctx.deltas):  # of a linear loss the gradient is the same everywhere
        torch.testing.assert_close(delta, number * 0.25 * EPSILON * direction)


def test_freelb_adds_a_clean_pass_on_request() -> None:
    ctx = FakeContext(linear, method="freelb", ascent_steps=2, clean_weight=0.5)
    metrics = step(ctx)
    assert len(ctx.deltas) == 3
    assert not ctx.deltas[0].any()
    assert float(metrics["clean_loss"][0]) == pytest.approx(float(linear(ctx.x)), rel=1e-5)
