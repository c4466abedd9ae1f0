"""What the perturbation kernels mean: balls, masks, directions. Every backend must pass these."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from scipy import stats
from torch import Tensor

from trainer.kernels import dispatch, reference

B, L, H, EPSILON = 4, 7, 16, 0.37
BACKENDS = [dispatch.BACKENDS[name] for name in dispatch.available()]
each_backend = pytest.mark.parametrize("kernels", BACKENDS, ids=lambda module: module.__name__.split(".")[-1])
each_ball = pytest.mark.parametrize(("norm", "scope"), [(n, s) for n in reference.NORMS for s in reference.SCOPES])


def mask() -> Tensor:
    m = torch.ones(B, L, dtype=torch.bool)
    m[0, 4:] = False
    m[1, 0] = False
    m[2] = False  # no content at all
    return m


def sizes(delta: Tensor, norm: str, scope: str) -> Tensor:
    return torch.linalg.vector_norm(delta.double(), float("inf") if norm == "linf" else 2,
                                    dim=(-1,) if scope == "token" else (-2, -1))


def init(kernels: ModuleType, x: Tensor, m: Tensor, norm: str = "l2", scope: str = "token", kind: str = "uniform",
         *, epsilon: float = EPSILON, seed: int = 1, step: int = 5, ids: Tensor | None = None,
         draw: int = 0) -> Tensor:
    ids = torch.arange(len(x)) if ids is None else ids
    return kernels.perturb_init(x, m, epsilon, norm, scope, kind, seed, step, ids, draw)[1]


@each_backend
@each_ball
@pytest.mark.parametrize("kind", reference.KINDS)
@pytest.mark.parametrize("epsilon", [1e-6, EPSILON, 50.0])
def test_noise_stays_in_the_ball_and_off_the_mask(kernels: ModuleType, norm: str, scope: str, kind: str,
                                                  epsilon: float) -> None:
    x, m = torch.randn(B, L, H), mask()
    total, delta = kernels.perturb_init(x, m, epsilon, norm, scope, kind, 1, 5, torch.arange(B), 0)
    assert (sizes(delta, norm, scope) <= epsilon * (1 + 1e-6)).all()
    assert (delta[~m] == 0).all()
    assert (delta[m] != 0).any(dim=-1).all()
    assert torch.equal(total, x + delta)


@each_backend
@each_ball
def test_noise_is_a_function_of_the_example(kernels: ModuleType, norm: str, scope: str) -> None:
    x, m, ids = torch.randn(B, L, H), mask(), torch.tensor([3, 8, 4, 1 << 41])
    for kind in reference.KINDS:
        delta = init(kernels, x, m, norm, scope, kind, ids=ids)
        order = torch.tensor([3, 1, 0, 2])
        assert torch.equal(init(kernels, x[order], m[order], norm, scope, kind, ids=ids[order]), delta[order])
        torch.testing.assert_close(init(kernels, x[1:2], m[1:2], norm, scope, kind, ids=ids[1:2]), delta[1:2],
                                   rtol=1e-6, atol=0)
        wide = torch.zeros(B, L + 5, dtype=torch.bool)
        wide[:, :L] = m
        padded = init(kernels, torch.randn(B, L + 5, H), wide, norm, scope, kind, ids=ids)
        torch.testing.assert_close(padded[:, :L], delta, rtol=1e-6, atol=0)  # padding only changes the order of sums


@each_backend
def test_noise_changes_with_seed_step_id_and_draw(kernels: ModuleType) -> None:
    x, m = torch.zeros(1, 40, H), torch.ones(1, 40, dtype=torch.bool)
    kinds = [init(kernels, x, m), init(kernels, x, m, seed=2), init(kernels, x, m, step=6),
             init(kernels, x, m, draw=1), init(kernels, x, m, ids=torch.tensor([9]))]
    for one in range(len(kinds)):
        for other in range(one):
            cosine = torch.cosine_similarity(kinds[one].flatten(), kinds[other].flatten(), dim=0)
            assert abs(cosine) < 5 / (40 * H) ** 0.5, (one, other)
            radii = torch.stack([kinds[one].norm(dim=-1).flatten(), kinds[other].norm(dim=-1).flatten()])
            assert abs(torch.corrcoef(radii)[0, 1]) < 5 / 40**0.5


@each_backend
@pytest.mark.parametrize("scope", reference.SCOPES)
def test_uniform_noise_fills_the_ball_evenly(kernels: ModuleType, scope: str) -> None:
    """P(||delta|| <= r) = (r / epsilon)^d, d the dimensions that share a ball; directions have no preferred axis."""
    rows, width = (200, 5) if scope == "token" else (2000, 3)
    length = 10 if scope == "token" else 2
    m = torch.ones(rows, length, dtype=torch.bool)
    delta = init(kernels, torch.zeros(rows, length, width), m, "l2", scope)
    d = width if scope == "token" else width * length
    radii = sizes(delta, "l2", scope).flatten().numpy() / EPSILON
    assert stats.kstest(radii**d, "uniform").pvalue > 0.01
    first = (delta.flatten(1) if scope == "sequence" else delta.flatten(0, 1)).double()
    cosine = (first[:, 0] / first.norm(dim=1)).numpy()
    assert stats.kstest((cosine + 1) / 2, "beta", args=((d - 1) / 2, (d - 1) / 2)).pvalue > 0.01


@each_backend
def test_a_sequence_ball_counts_content_tokens_only(kernels: ModuleType) -> None:
    rows, width = 2000, 2
    m = torch.zeros(rows, 6, dtype=torch.bool)
    m[:, 1:3] = True
    delta = init(kernels, torch.zeros(rows, 6, width), m, "l2", "sequence")
    assert stats.kstest((sizes(delta, "l2", "sequence").numpy() / EPSILON) ** 4, "uniform").pvalue > 0.01


@each_backend
def test_other_distributions(kernels: ModuleType) -> None:
    x, m = torch.zeros(100, 20, H), torch.ones(100, 20, dtype=torch.bool)
    box = init(kernels, x, m, "linf", kind="uniform")
    assert stats.kstest((box.flatten().numpy() / EPSILON + 1) / 2, "uniform").pvalue > 0.01
    wide, ones = torch.zeros(4, 20, 2000), torch.ones(4, 20, dtype=torch.bool)
    gauss = init(kernels, wide, ones, kind="gaussian")
    inside = gauss.norm(dim=-1) < EPSILON * (1 - 1e-5)
    assert 0.2 < inside.float().mean() < 0.8  # the norm of the noise is about epsilon
    scaled = gauss[inside].flatten() / (EPSILON / 2000**0.5)
    assert abs(float(scaled.mean())) < 5 / scaled.numel() ** 0.5
    assert abs(float(scaled.std()) - 1) < 0.02
    clipped = init(kernels, x, m, "linf", kind="gaussian").flatten() / EPSILON
    share = (clipped.abs() >= 1 - 1e-6).float().mean()
    assert abs(float(share) - 2 * stats.norm.sf(1)) < 0.02
    assert stats.kstest(clipped[clipped.abs() < 1 - 1e-6].numpy(), stats.truncnorm(-1, 1).cdf).pvalue > 0.01


@each_backend
@each_ball
def test_an_ascent_step_is_the_formula(kernels: ModuleType, norm: str, scope: str) -> None:
    x, m = torch.randn(B, L, H), mask()
    start, grad = init(kernels, x, m, norm, scope), torch.randn(B, L, H) * 1e-3
    total, delta = kernels.perturb_ascend(start, grad, x, m, 0.1, EPSILON, norm, scope)
    g = (grad * m[..., None]).double()
    if norm == "linf":
        expected = (start + 0.1 * g.sign()).clamp(-EPSILON, EPSILON)
    else:
        dims = (-1,) if scope == "token" else (-2, -1)
        expected = start + 0.1 * g / g.norm(dim=dims, keepdim=True).clamp(min=1e-300)
        length = expected.norm(dim=dims, keepdim=True)
        expected = torch.where(length > EPSILON, expected * EPSILON / length, expected)
    torch.testing.assert_close(delta.double(), expected.double() * m[..., None], rtol=1e-5, atol=1e-7)
    assert torch.equal(total, x + delta)
    assert (sizes(delta, norm, scope) <= EPSILON * (1 + 1e-6)).all()
    assert (delta[~m] == 0).all()
    assert float((delta - start)[m].abs().max()) > 0.01


@each_backend
@each_ball
@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf"), -float("inf")])
def test_a_useless_gradient_moves_nothing_and_does_not_spread(kernels: ModuleType, norm: str, scope: str,
                                                              bad: float) -> None:
    x, m = torch.randn(B, L, H), torch.ones(B, L, dtype=torch.bool)
    start, grad = init(kernels, x, m, norm, scope) * 0.5, torch.randn(B, L, H)
    good = kernels.perturb_ascend(start, grad, x, m, 0.1, EPSILON, norm, scope)[1]
    broken = grad.clone()
    if bad == 0.0:
        broken[1] = 0.0
    else:
        broken[1, 2, 3] = bad
    rows = (slice(1, 2), slice(2, 3)) if scope == "token" and bad != 0.0 else (slice(1, 2), slice(None))
    delta = kernels.perturb_ascend(start, broken, x, m, 0.1, EPSILON, norm, scope)[1]
    torch.testing.assert_close(delta[rows], start[rows], rtol=1e-6, atol=1e-9)
    untouched = torch.ones(B, L, dtype=torch.bool)
    untouched[rows] = False
    assert torch.equal(delta[untouched], good[untouched])


@each_backend
@each_ball
def test_what_is_masked_cannot_matter(kernels: ModuleType, norm: str, scope: str) -> None:
    x, m = torch.randn(B, L, H), mask()
    start, grad = init(kernels, x, m, norm, scope), torch.randn(B, L, H)
    clean = kernels.perturb_ascend(start, grad, x, m, 0.1, EPSILON, norm, scope)[1]
    grad[~m] = float("nan")
    assert torch.equal(kernels.perturb_ascend(start, grad, x, m, 0.1, EPSILON, norm, scope)[1], clean)
    dirty = start.clone()
    dirty[~m] = 1e9
    assert torch.equal(kernels.perturb_project(dirty, m, EPSILON, norm, scope),
                       kernels.perturb_project(start, m, EPSILON, norm, scope))


@each_backend
def test_tiny_gradients_still_point_somewhere(kernels: ModuleType) -> None:
    x, m, grad = torch.zeros(1, 1, H), torch.ones(1, 1, dtype=torch.bool), torch.randn(1, 1, H)
    for scale in (1e-30, 1e30):
        delta = kernels.perturb_ascend(x, grad * scale, x, m, EPSILON, EPSILON, "l2", "token")[1]
        torch.testing.assert_close(delta, EPSILON * grad / grad.norm(), rtol=1e-5, atol=0)


@each_backend
@each_ball
def test_projection(kernels: ModuleType, norm: str, scope: str) -> None:
    delta, m = torch.randn(B, L, H) * torch.logspace(-3, 3, B)[:, None, None], mask()
    once = kernels.perturb_project(delta, m, EPSILON, norm, scope)
    assert (sizes(once, norm, scope) <= EPSILON * (1 + 1e-6)).all()
    torch.testing.assert_close(kernels.perturb_project(once, m, EPSILON, norm, scope), once, rtol=1e-6, atol=0)
    inside = once * 0.5
    assert torch.equal(kernels.perturb_project(inside, m, EPSILON, norm, scope), inside)
    assert (once[~m] == 0).all()
    zero = torch.zeros(B, L, H)
    assert torch.equal(kernels.perturb_project(zero, m, EPSILON, norm, scope), zero)


@each_backend
@each_ball
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_storage_keeps_fp32_arithmetic(kernels: ModuleType, norm: str, scope: str, dtype: torch.dtype) -> None:
    x, m = torch.randn(B, L, H), mask()
    eps = torch.finfo(dtype).eps
    full = init(kernels, x, m, norm, scope)
    half = init(kernels, x.to(dtype), m, norm, scope)
    assert half.dtype == dtype
    torch.testing.assert_close(half.float(), full, rtol=eps, atol=1e-6)
    grad = (torch.randn(B, L, H) * 1e-3).to(dtype)  # squares vanish in fp16
    total, delta = kernels.perturb_ascend(half, grad, x.to(dtype), m, 0.1, EPSILON, norm, scope)
    assert total.dtype == delta.dtype == dtype
    expected = kernels.perturb_ascend(half.float(), grad.float(), x, m, 0.1, EPSILON, norm, scope)[1]
    torch.testing.assert_close(delta.float(), expected, rtol=eps, atol=1e-6)
    assert (sizes(delta, norm, scope) <= EPSILON * (1 + eps)).all()
