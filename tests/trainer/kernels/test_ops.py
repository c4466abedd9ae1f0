"""The registered operations: torch's own checks, gradients, compilation; and the embedding block."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainer.kernels.backends import DEVICES, RELATIVE, each_backend
from trainer.kernels import dispatch, reference

B, L, H, V = 2, 3, 12, 9
PADDING = 1


def balls(device: str) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    m = torch.tensor([[True, True, False], [False, True, True]], device=device)
    return torch.randn(B, L, H, device=device) * m[..., None] * 0.1, torch.randn(B, L, H, device=device), m


def block(device: str, dtype: torch.dtype = torch.float64) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """((ids, positions, types), (delta, words, position rows, type rows, weight, bias)), the latter with gradients."""
    torch.manual_seed(0)
    indices = (torch.tensor([[0, 5, PADDING], [5, 8, 2]]), torch.tensor([[2, 3, PADDING], [2, 3, 4]]),
               torch.zeros(B, L, dtype=torch.int64))
    shapes = ((B, L, H), (V, H), (7, H), (1, H), (H,), (H,))
    leaves = tuple(torch.randn(shape).to(device, dtype).requires_grad_(True) for shape in shapes)
    return tuple(t.to(device) for t in indices), leaves


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
    indices, leaves = block(x.device.type, torch.float32)
    torch.library.opcheck(operation(backend, "perturbed_embedding"), (*indices, *leaves, 1e-5, PADDING))


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
def test_gradcheck_of_the_embedding_block(backend: str) -> None:
    indices, leaves = block(DEVICES[backend])
    indices = (indices[0].clamp(min=2), indices[1].clamp(min=2), indices[2])  # padding has no gradient, see below
    kernels = dispatch.BACKENDS[backend]

    def of_leaves(*given: Tensor) -> Tensor:
        block_: Tensor = kernels.perturbed_embedding(*indices, *given, 1e-5, PADDING)
        return block_

    assert torch.autograd.gradcheck(of_leaves, leaves, fast_mode=backend == "triton")  # the interpreter is slow


@each_backend
@pytest.mark.parametrize("dtype", list(RELATIVE), ids=str)
def test_the_embedding_block_is_the_models_own(backend: str, dtype: torch.dtype) -> None:
    """Against transformers' block in float64, padding included; the reference may round at each of its steps."""
    from transformers import XLMRobertaConfig
    from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaEmbeddings

    device = DEVICES[backend]
    indices, leaves = block(device, dtype)
    delta, words, positions, types, weight, bias = leaves
    own = XLMRobertaEmbeddings(XLMRobertaConfig(
        vocab_size=V, hidden_size=H, max_position_embeddings=7, type_vocab_size=1, hidden_dropout_prob=0.0,
        layer_norm_eps=1e-5)).double().to(device)
    parts = (own.word_embeddings, own.position_embeddings, own.token_type_embeddings)
    with torch.no_grad():
        for part, values in zip(parts, (words, positions, types), strict=True):
            part.weight.copy_(values)
        own.LayerNorm.weight.copy_(weight)
        own.LayerNorm.bias.copy_(bias)
    exact_delta = delta.detach().double().requires_grad_(True)
    exact = own(inputs_embeds=own.word_embeddings(indices[0]) + exact_delta, position_ids=indices[1])
    found = dispatch.BACKENDS[backend].perturbed_embedding(*indices, *leaves, 1e-5, PADDING)
    upper = torch.randn_like(found)
    (exact * upper.double()).sum().backward()
    (found * upper).sum().backward()
    tolerance = (20 if backend == "reference" else 4) * RELATIVE[dtype]
    expected = (exact_delta.grad, *(part.weight.grad for part in parts), own.LayerNorm.weight.grad,
                own.LayerNorm.bias.grad)
    for one, other in ((found, exact), *zip((leaf.grad for leaf in leaves), expected, strict=True)):
        largest = float(other.detach().abs().max())
        torch.testing.assert_close(one.double(), other, rtol=tolerance, atol=tolerance * largest)
    assert not words.grad[PADDING].any()
    assert not positions.grad[PADDING].any()


@each_backend
def test_an_ascent_does_not_pay_for_the_tables(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    indices, leaves = block(DEVICES[backend], torch.float32)
    calls = []
    original = torch.ops.aten.embedding_dense_backward
    monkeypatch.setattr(torch.ops.aten, "embedding_dense_backward", lambda *a: calls.append(1) or original(*a))
    block_ = dispatch.BACKENDS[backend].perturbed_embedding(*indices, *leaves, 1e-5, PADDING)
    (grad,) = torch.autograd.grad(block_.square().sum(), leaves[0], retain_graph=True)
    assert grad.abs().sum() > 0
    assert not calls
    if backend != "reference":  # whose tables are torch's own business
        block_.square().sum().backward()
        assert len(calls) == 3
        assert leaves[1].grad.abs().sum() > 0


@each_backend
@pytest.mark.parametrize("compiler", ["aot_eager", "inductor"])
def test_under_compile(backend: str, compiler: str) -> None:
    torch._dynamo.reset()
    device = DEVICES[backend]
    delta, x, m = balls(device)
    indices, leaves = block(device, torch.float32)
    ops = getattr(torch.ops, f"robust_{backend}")

    def step(delta: Tensor, x: Tensor, *parameters: Tensor) -> Tensor:
        total, moved = ops.perturb_ascend(delta, x.detach(), x, m, 0.1, 0.3, "l2", "token")
        rows = ops.perturbed_embedding(*indices, moved, *parameters, 1e-5, PADDING)[0]
        return (rows * total).sum()

    parameters = [leaf.detach().clone().requires_grad_(True) for leaf in leaves[1:]]
    x.requires_grad_(True)
    plain = torch.autograd.grad(step(delta, x, *parameters), (x, *parameters))
    whole = torch.compile(step, backend=compiler, fullgraph=True)(delta, x, *parameters)
    for one, other in zip(torch.autograd.grad(whole, (x, *parameters)), plain, strict=True):
        torch.testing.assert_close(one, other)


def test_an_index_outside_of_a_table_is_named() -> None:
    indices, leaves = block("cpu", torch.float32)
    for place, name in enumerate(("words", "positions", "types")):
        wrong = list(indices)
        wrong[place] = indices[place] + 100
        with pytest.raises(IndexError, match=name):
            dispatch.BACKENDS["cpu"].perturbed_embedding(*wrong, *leaves)


def test_the_reference_operation_follows_a_patched_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    delta, _, m = balls("cpu")
    monkeypatch.setattr(reference, "perturb_project", lambda delta, *rest: delta + 1)
    assert torch.equal(torch.ops.robust_reference.perturb_project(delta, m, 0.3, "l2", "token"), delta + 1)
