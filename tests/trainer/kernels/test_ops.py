"""The registered operations: torch's own checks, gradients, compilation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainer.kernels.backends import DEVICES, each_backend
from trainer.kernels import dispatch, reference

B, L, H = 2, 3, 12


def balls(device: str) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    m = torch.tensor([[True, True, False], [False, True, True]], device=device)
    return torch.randn(B, L, H, device=device) * m[..., None] * 0.1, torch.randn(B, L, H, device=device), m


def operation(backend: str, name: str) -> Any:
    return getattr(getattr(torch.ops, f"robust_{backend}"), name).default


@each_backend
def test_torch_accepts_the_registrations(backend: str) -> None:
    delta, x, m = balls(DEVICES[backend])
    ids = torch.arange(B, device=x.device)
    x.requires_grad_(True)
    torch.library.opcheck(operation(backend, "perturb_init"), (x, m, 0.3, "l2", "token", "uniform", 1, 2, ids, 0))
    torch.library.opcheck(operation(backend, "perturb_ascend"), (delta, x.detach(), x, m, 0.1, 0.3, "l2", "sequence"))
    torch.library.opcheck(operation(backend, "perturb_project"), (delta, m, 0.3, "linf", "token"))


@each_backend
def test_delta_is_a_constant_and_x_passes_through(backend: str) -> None:
    delta, x, m = balls(DEVICES[backend])
    x.requires_grad_(True)
    upper = torch.randn_like(x)
    for total, moved in (
            operation(backend, "perturb_ascend")(delta, x.detach(), x, m, 0.1, 0.3, "l2", "token"),
            operation(backend, "perturb_init")(x, m, 0.3, "l2", "token", "uniform", 1, 2, torch.arange(
                B, device=x.device), 0),
            dispatch.BACKENDS[backend].perturb_ascend(delta, x.detach(), x, m, 0.1, 0.3, "l2", "token")):
        (grad,) = torch.autograd.grad((total * upper).sum() + 0 * moved.sum(), x)
        assert torch.equal(grad, upper)


@each_backend
@pytest.mark.parametrize("compiler", ["aot_eager", "inductor"])
def test_under_compile(backend: str, compiler: str) -> None:
    torch._dynamo.reset()
    device = DEVICES[backend]
    delta, x, m = balls(device)
    ops, ids = getattr(torch.ops, f"robust_{backend}"), torch.arange(B, device=device)

    def step(delta: Tensor, x: Tensor) -> Tensor:
        started, noise = ops.perturb_init(x, m, 0.3, "l2", "token", "uniform", 1, 2, ids, 0)
        total, moved = ops.perturb_ascend(delta + noise, x.detach(), started, m, 0.1, 0.3, "l2", "token")
        return (ops.perturb_project(moved.detach(), m, 0.2, "l2", "token") * total.square()).sum()

    x.requires_grad_(True)
    (plain,) = torch.autograd.grad(step(delta, x), x)
    (whole,) = torch.autograd.grad(torch.compile(step, backend=compiler, fullgraph=True)(delta, x), x)
    torch.testing.assert_close(whole, plain)


def test_the_reference_operation_follows_a_patched_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    delta, _, m = balls("cpu")
    monkeypatch.setattr(reference, "perturb_project", lambda delta, *rest: delta + 1)
    assert torch.equal(torch.ops.robust_reference.perturb_project(delta, m, 0.3, "l2", "token"), delta + 1)
