"""Every fused backend against `reference` in float64, on poisoned memory, at the edges of what may be asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from scipy import stats
from torch import Tensor

from tests.trainer.kernels.backends import ABSOLUTE, DEVICES, NOISE, RELATIVE, each_backend, each_fused
from trainer.kernels import dispatch, philox, reference

EPSILON, STEP = 0.37, 0.21
SHAPES = [(2, 3, 64), (3, 5, 65), (2, 2, 1), (1, 4, 771), (1, 2, 8192)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_dtype = pytest.mark.parametrize("dtype", list(RELATIVE), ids=lambda dtype: str(dtype).removeprefix("torch."))
each_ball = pytest.mark.parametrize(("norm", "scope"), [(n, s) for n in reference.NORMS for s in reference.SCOPES])


@pytest.fixture(autouse=True)
def poisoned() -> Iterator[None]:
    """Whatever is allocated holds NaN until it is written."""
    torch.manual_seed(3)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def tensors(shape: tuple[int, int, int], dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(delta in the ball, gradient, x, mask): one example has no content, one row no gradient, one NaN, one Inf."""
    m = torch.rand(shape[:2]) < 0.7
    m[0, :2] = True
    if shape[0] > 2:
        m[2] = False
    delta, x = torch.randn(shape) * EPSILON / shape[2] ** 0.5, torch.randn(shape)
    grad = torch.randn(shape) * 10.0 ** torch.randint(-4, 4, (*shape[:2], 1))
    if shape[0] > 1:
        grad[1, 0] = 0.0
        grad[1, 1, 0] = float("nan")
        m[1, :2] = True
    if shape[1] > 3:
        grad[0, 3, -1] = -float("inf")
    return delta.to(device, dtype), grad.to(device, dtype), x.to(device, dtype), m.to(device)


def close(found: Tensor, exact: Tensor, tolerance: tuple[float, float], largest: float = EPSILON) -> None:
    relative, absolute = tolerance
    torch.testing.assert_close(found.double(), exact, rtol=relative, atol=absolute * largest)


def sizes(delta: Tensor, norm: str, scope: str) -> Tensor:
    return torch.linalg.vector_norm(delta.double(), float("inf") if norm == "linf" else 2,
                                    dim=(-1,) if scope == "token" else (-2, -1))


@each_fused
@each_shape
@each_dtype
@each_ball
def test_ascent_and_projection(backend: str, shape: tuple[int, int, int], dtype: torch.dtype, norm: str,
                               scope: str) -> None:
    kernels, tolerance = dispatch.BACKENDS[backend], (RELATIVE[dtype], ABSOLUTE[dtype])
    delta, grad, x, m = tensors(shape, dtype, DEVICES[backend])
    _, exact = reference.perturb_ascend(delta.double(), grad.double(), x.double(), m, STEP, EPSILON, norm, scope)
    total, moved = kernels.perturb_ascend(delta, grad, x, m, STEP, EPSILON, norm, scope)
    close(moved, exact, tolerance)
    assert torch.equal(total, x + moved)
    assert (moved[~m] == 0).all()
    assert (sizes(moved, norm, scope) <= EPSILON * (1 + max(1e-6 if dtype != torch.float64 else 1e-12,
                                                            torch.finfo(dtype).eps))).all()
    wide = torch.randn_like(x) * 3
    close(kernels.perturb_project(wide, m, EPSILON, norm, scope),
          reference.perturb_project(wide.double(), m, EPSILON, norm, scope), tolerance)


@each_fused
@each_shape
@each_dtype
@each_ball
@pytest.mark.parametrize("kind", reference.KINDS)
def test_noise(backend: str, shape: tuple[int, int, int], dtype: torch.dtype, norm: str, scope: str,
               kind: str) -> None:
    kernels = dispatch.BACKENDS[backend]
    _, _, x, m = tensors(shape, dtype, DEVICES[backend])
    ids = torch.tensor([7, 1 << 41, (1 << 32) + 7])[: shape[0]].to(x.device)
    place = (m, EPSILON, norm, scope, kind, (9 << 40) + 5, (1 << 33) + 2, ids, 3)
    total, delta = kernels.perturb_init(x, *place)
    _, exact = reference.perturb_init(x.double(), *place)
    close(delta, exact, NOISE[dtype])
    assert torch.equal(total, x + delta)
    assert (delta[~m] == 0).all()
    assert (sizes(delta, norm, scope) <= EPSILON * (1 + max(1e-6, torch.finfo(dtype).eps))).all()
    if (norm, kind, dtype) == ("linf", "uniform", torch.float32):
        assert torch.equal(delta, reference.perturb_init(x, *place)[1])  # nothing but bits and one product


@each_fused
@pytest.mark.parametrize("dims", [1, 3, 64, 65, 1024])
def test_random_words_are_bit_identical(backend: str, dims: int) -> None:
    ids = torch.tensor([0, 7, (1 << 48) - 1], device=DEVICES[backend])
    for seed, step, stream in ((0, 0, 0), ((1 << 63) - 1, (1 << 32) + 4, philox.STREAM_RADIUS + 11)):
        expected = philox.counter_bits(seed, step, ids, 5, dims, stream)
        assert torch.equal(dispatch.BACKENDS[backend].counter_bits(seed, step, ids, 5, dims, stream), expected)


@each_fused
@each_ball
def test_layouts_and_empty_batches(backend: str, norm: str, scope: str) -> None:
    kernels = dispatch.BACKENDS[backend]
    delta, grad, x, m = tensors((3, 5, 65), torch.float32, DEVICES[backend])
    plain = kernels.perturb_ascend(delta, grad, x, m, STEP, EPSILON, norm, scope)
    odd = [torch.stack((t, t), dim=-1)[..., 0] for t in (delta, grad, x)]
    turned = [t.transpose(0, 1).contiguous().transpose(0, 1) for t in (delta, grad, x, m)]
    assert not any(t.is_contiguous() for t in odd + turned)
    for strided in ([*odd, m], turned):
        for one, other in zip(kernels.perturb_ascend(*strided, STEP, EPSILON, norm, scope), plain, strict=True):
            assert torch.equal(one, other)
    for shape in ((0, 5, 64), (2, 0, 64)):
        empty, none = torch.zeros(shape, device=x.device), torch.zeros(shape[:2], dtype=torch.bool, device=x.device)
        assert kernels.perturb_ascend(empty, empty, empty, none, STEP, EPSILON, norm, scope)[1].shape == shape
        assert kernels.perturb_project(empty, none, EPSILON, norm, scope).shape == shape
        ids = torch.zeros(shape[0], dtype=torch.int64, device=x.device)
        assert kernels.perturb_init(empty, none, EPSILON, norm, scope, "uniform", 0, 0, ids, 0)[0].shape == shape


@each_fused
@each_ball
@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf"), -float("inf")])
def test_a_useless_gradient_stays_where_it_is(backend: str, norm: str, scope: str, bad: float) -> None:
    kernels = dispatch.BACKENDS[backend]
    delta, _, x, _ = tensors((2, 4, 65), torch.float32, DEVICES[backend])
    grad, m = torch.randn_like(x), torch.ones(2, 4, dtype=torch.bool, device=x.device)
    delta = kernels.perturb_project(delta, m, EPSILON / 2, norm, scope)
    good = kernels.perturb_ascend(delta, grad, x, m, STEP, EPSILON, norm, scope)[1]
    grad[1, 2 if bad else slice(None), 3 if bad else slice(None)] = bad
    found = kernels.perturb_ascend(delta, grad, x, m, STEP, EPSILON, norm, scope)[1]
    still = torch.zeros_like(m)
    still[1, 2 if scope == "token" and bad else slice(None)] = True
    assert torch.equal(found[still], delta[still])
    assert torch.equal(found[~still], good[~still])
    assert not torch.equal(good[still], delta[still])


@each_fused
def test_gradients_of_every_size_have_a_direction(backend: str) -> None:
    kernels, device = dispatch.BACKENDS[backend], DEVICES[backend]
    zero, m, grad = torch.zeros(1, 1, 70), torch.ones(1, 1, dtype=torch.bool), torch.randn(1, 1, 70)
    for dtype, scales in ((torch.float32, (1e-38, 1e-20, 1e20, 1e38 / 4)), (torch.float64, (1e-300, 1e300))):
        for scale in scales:
            inputs = (zero.to(device, dtype), grad.to(device, dtype) * scale, zero.to(device, dtype), m.to(device))
            delta = kernels.perturb_ascend(*inputs, EPSILON, EPSILON, "l2", "token")[1].cpu().double()
            torch.testing.assert_close(delta, EPSILON * (grad / grad.norm()).double(), rtol=2e-6, atol=1e-7)


@each_fused
def test_a_wider_gradient_is_not_rounded(backend: str) -> None:
    """fp16 training hands over gradients in fp32, which fp16 could not hold."""
    delta, _, x, m = tensors((2, 3, 64), torch.float16, DEVICES[backend])
    tiny = torch.randn(2, 3, 64, device=x.device) * 1e-12
    found = dispatch.BACKENDS[backend].perturb_ascend(delta, tiny, x, m, STEP, EPSILON, "l2", "token")[1]
    exact = reference.perturb_ascend(delta.double(), tiny.double(), x.double(), m, STEP, EPSILON, "l2", "token")[1]
    close(found, exact, (RELATIVE[torch.float16], ABSOLUTE[torch.float16]))


@pytest.mark.parametrize("backend", ["cpu"])  # the interpreter is too slow; its words and noise are compared above
@pytest.mark.parametrize("scope", reference.SCOPES)
def test_noise_fills_the_ball_evenly(backend: str, scope: str) -> None:
    """P(||delta|| <= r) = (r / epsilon)^d; every coordinate has mean 0, variance epsilon^2 / (d + 2); rows do not
    know of each other."""
    rows, length, width = (100, 10, 5) if scope == "token" else (600, 2, 3)
    m = torch.ones(rows, length, dtype=torch.bool, device=DEVICES[backend])
    x, ids = torch.zeros(rows, length, width, device=m.device), torch.arange(rows, device=m.device)
    _, delta = dispatch.BACKENDS[backend].perturb_init(x, m, EPSILON, "l2", scope, "uniform", 1, 5, ids, 0)
    balls = (delta.flatten(0, 1) if scope == "token" else delta.flatten(1)).double().cpu()
    count, d = balls.shape
    assert stats.kstest((balls.norm(dim=1).numpy() / EPSILON) ** d, "uniform").pvalue > 0.01
    scaled = balls / (EPSILON / (d + 2) ** 0.5)
    assert float(scaled.mean().abs()) < 5 / balls.numel() ** 0.5
    assert float((scaled.var(dim=0) - 1).abs().max()) < 5 * (2 / count) ** 0.5
    correlation = torch.corrcoef(torch.cat((scaled[1:], scaled[:-1]), dim=1).T) - torch.eye(2 * d)
    assert float(correlation.abs().max()) < 5 / count**0.5
    _, other = dispatch.BACKENDS[backend].perturb_init(x, m, EPSILON, "l2", scope, "uniform", 1, 5, ids, 1)
    assert abs(float(torch.cosine_similarity(other.flatten(), delta.flatten(), dim=0))) < 5 / delta.numel() ** 0.5


def test_shapes_that_do_not_fit_are_refused() -> None:
    cpu, x, m = dispatch.BACKENDS["cpu"], torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
    for arguments in ((x[:1], x, x, m), (x, x, x, m[:1]), (x, x, x, m.float()), (x[0], x[0], x[0], m[0])):
        with pytest.raises(ValueError, match="expected, found"):
            cpu.perturb_ascend(*arguments, STEP, EPSILON, "l2", "token")


@pytest.mark.parametrize("scope", reference.SCOPES)
def test_the_number_of_threads_changes_nothing(scope: str) -> None:
    cpu, (delta, grad, x, m) = dispatch.BACKENDS["cpu"], tensors((7, 33, 771), torch.float32, "cpu")
    ids, before, found = torch.arange(7), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append((*cpu.perturb_ascend(delta, grad, x, m, STEP, EPSILON, "l2", scope),
                          *cpu.perturb_init(x, m, EPSILON, "l2", scope, "uniform", 1, 2, ids, 0)))
    finally:
        torch.set_num_threads(before)
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))


# --- how far rounding may lead out of the ball ----------------------------------------------------------------------
HALF_UNIT = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11, torch.float32: 2.0**-24}
EXCEEDED = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11 + 2.0**-18 + 2.0**-29, torch.float32: 2.0**-18}
SUBNORMAL = {torch.float16: 2.0**-25}


def moved_by(
    backend: str, delta: Tensor, m: Tensor, epsilon: float, norm: str, scope: str,
) -> list[tuple[Tensor, Tensor]]:
    """(x + delta, delta) of everything that puts a perturbation into the ball; x is `delta` in another order."""
    kernels, x = dispatch.BACKENDS[backend], delta.flip(-1)
    ids = torch.arange(len(delta), device=delta.device)
    projected = kernels.perturb_project(delta, m, epsilon, norm, scope)
    return [(projected + x, projected), kernels.perturb_ascend(delta, x, x, m, 0.8 * epsilon, epsilon, norm, scope),
            *(kernels.perturb_init(x, m, epsilon, norm, scope, kind, 1, 2, ids, 0) for kind in reference.KINDS)]


@each_backend
@each_ball
@pytest.mark.parametrize("dtype", list(HALF_UNIT), ids=str)
def test_rounding_leads_out_of_the_ball_by_no_more_than_is_stated(backend: str, norm: str, scope: str,
                                                                  dtype: torch.dtype) -> None:
    """Norms in float64; of all kinds of ball: narrow and wide, small and large, even and ragged."""
    half, interpreted = HALF_UNIT[dtype], backend == "triton" and DEVICES[backend] == "cpu"
    balls = [(1, 1 + half + 2.0**-18), (40, 1e-3), (1, 1.0), (3, 1 + half / 2), (40, 77.7), (1024, 0.0371)]
    for width, epsilon in balls[:2] if interpreted else balls:  # the interpreter is slow
        for power in (1,) if interpreted else (0, 1, 3):  # 0: numbers that are all alike are all rounded one way
            length = 64 if width == 1 and not interpreted else 2  # many radii of one number each
            delta = (torch.randn(2, length, width).pow(power) * 3 * epsilon).to(DEVICES[backend], dtype)
            m = torch.ones(2, length, dtype=torch.bool, device=delta.device)
            m[1, 1:] = False
            x = delta.flip(-1).double()
            dims = width * (length if scope == "sequence" else 1)
            lost = SUBNORMAL.get(dtype, 0.0) * (dims**0.5 if norm == "l2" else 1.0)
            for total, moved in moved_by(backend, delta, m, epsilon, norm, scope):
                assert moved.dtype == dtype
                assert (sizes(moved, norm, scope) <= epsilon * (1 + EXCEEDED[dtype]) + lost).all()
                exact = x + moved.double()
                assert ((total.double() - exact).abs() <= half * exact.abs() + SUBNORMAL.get(dtype, 0.0)).all()


@each_backend
@each_ball
@pytest.mark.parametrize(("dtype", "bits"), [(torch.bfloat16, 8), (torch.float16, 11)], ids=str)
def test_the_stated_rounding_is_reached(backend: str, norm: str, scope: str, dtype: torch.dtype, bits: int) -> None:
    """Just above 1 + 2^-p the next number that the type has is 1 + 2^(1-p)."""
    delta = torch.full((1, 1, 1), 3.0, dtype=dtype, device=DEVICES[backend])
    m = torch.ones(1, 1, dtype=torch.bool, device=delta.device)
    epsilon = 1 + 2.0**-bits + 2.0**-18
    found = float(dispatch.BACKENDS[backend].perturb_project(delta, m, epsilon, norm, scope))
    assert found == 1 + 2.0 ** (1 - bits)
    assert 0.97 * 2.0**-bits < found / epsilon - 1 < 2.0**-bits


@each_ball
def test_the_reference_sums_long_sequences_well(norm: str, scope: str) -> None:
    """512 tokens of XLM-R large, all of one sign, as a single fp32 sum gets wrong in the fourth digit."""
    delta, m = torch.full((1, 512, 1024), 0.1), torch.ones(1, 512, dtype=torch.bool)
    found = reference.perturb_project(delta, m, 0.03, norm, scope)
    assert sizes(found, norm, scope).max() / 0.03 == pytest.approx(1.0, abs=2.0**-18)
