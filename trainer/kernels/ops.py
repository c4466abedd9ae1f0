"""Registers a backend's functions with `torch.library`: robust_reference::*, robust_cpu::*, robust_triton::*.

So registered they have fake kernels, gradients, and stay whole under `torch.compile`. Their gradients: x + delta
passes on the gradient of x, and delta counts as a constant; `perturbed_embedding` has gradients to delta, to the three
tables and to the LayerNorm, and computes those that are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_INIT = ("(Tensor x, Tensor mask, float epsilon, str norm, str scope, str kind, int seed, int update, "
         "Tensor example_ids, int draw) -> (Tensor, Tensor)")
_ASCEND = ("(Tensor delta, Tensor grad, Tensor x, Tensor mask, float step_size, float epsilon, str norm, str scope)"
           " -> (Tensor, Tensor)")
_PROJECT = "(Tensor delta, Tensor mask, float epsilon, str norm, str scope) -> Tensor"
_EMBEDDING = ("(Tensor ids, Tensor positions, Tensor types, Tensor delta, Tensor words, Tensor position_rows, "
              "Tensor type_rows, Tensor weight, Tensor bias, float epsilon, int padding_id) "
              "-> (Tensor, Tensor, Tensor)")
_EMBEDDING_BACKWARD = (
    "(Tensor grad, Tensor ids, Tensor positions, Tensor types, Tensor delta, Tensor words, Tensor position_rows, "
    "Tensor type_rows, Tensor weight, Tensor mean, Tensor rstd, bool affine) -> (Tensor, Tensor, Tensor)")
_DELTA, _WORDS, _POSITIONS, _TYPES, _WEIGHT, _BIAS = range(3, 9)  # places among the tensors of _EMBEDDING


def register(
    namespace: str, forward: Callable[..., Any], backward: Callable[..., Any], init: Callable[..., Any],
    ascend: Callable[..., Any], project: Callable[..., Any],
) -> Callable[..., Tensor]:
    """Register a backend's five functions under `namespace`; returns its `perturbed_embedding`.

    The latter calls the backend itself: the way through a registered operation costs as much as a small batch.
    """
    _register_balls(namespace, init, ascend, project)
    _register_embedding(namespace, forward, backward)

    class Block(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            output = forward(*inputs[:-1])
            _keep(ctx, inputs, output)
            return output[0]

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:
            return _differentiate(ctx, grad, backward)

    def perturbed_embedding(
        ids_BL: Tensor, positions_BL: Tensor, types_BL: Tensor, delta_BLH: Tensor, words_VH: Tensor,
        position_rows_PH: Tensor, type_rows_TH: Tensor, weight_H: Tensor, bias_H: Tensor, epsilon: float = 1e-5,
        padding_id: int = -1,
    ) -> Tensor:
        """XLM-R's embedding block with the perturbation inside. See `reference.perturbed_embedding`."""
        parameters = (words_VH, position_rows_PH, type_rows_TH, weight_H, bias_H)
        if torch.is_grad_enabled():
            # Of a view, autograd can be asked whether its gradient is wanted; of a leaf it cannot.
            parameters = tuple(p.view_as(p) if p.requires_grad else p for p in parameters)  # type: ignore[assignment]
        block: Tensor = Block.apply(
            ids_BL, positions_BL, types_BL, delta_BLH, *parameters, epsilon, padding_id)
        return block

    return perturbed_embedding


def embedding_indices(like_BLH: Tensor, *indices_BL: Tensor) -> list[Tensor]:
    """Indices that broadcast to (B, L), whole, contiguous and int64, as compiled kernels want them."""
    return [index.to(torch.int64).expand(like_BLH.shape[:2]).contiguous() for index in indices_BL]


def _register_balls(namespace: str, init: Callable[..., Any], ascend: Callable[..., Any],
                    project: Callable[..., Any]) -> None:
    def fake_pair(like: Tensor) -> tuple[Tensor, Tensor]:
        return like.new_empty(like.shape), like.new_empty(like.shape)

    def contiguous(pair: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        return pair[0].contiguous(), pair[1].contiguous()

    op = torch.library.custom_op(f"{namespace}::perturb_init", lambda *a: contiguous(init(*a)), mutates_args=(),
                                 schema=_INIT)
    op.register_fake(lambda x, *rest: fake_pair(x))
    op.register_autograd(lambda ctx, grad_total, grad_delta: (grad_total, *[None] * 9))
    op = torch.library.custom_op(f"{namespace}::perturb_ascend", lambda *a: contiguous(ascend(*a)), mutates_args=(),
                                 schema=_ASCEND)
    op.register_fake(lambda delta, grad, x, *rest: fake_pair(x))
    op.register_autograd(lambda ctx, grad_total, grad_delta: (None, None, grad_total, *[None] * 5))
    op = torch.library.custom_op(f"{namespace}::perturb_project", lambda *a: project(*a).contiguous(),
                                 mutates_args=(), schema=_PROJECT)
    op.register_fake(lambda delta, *rest: delta.new_empty(delta.shape))


def _register_embedding(namespace: str, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
    op = torch.library.custom_op(f"{namespace}::perturbed_embedding", lambda *a: forward(*a[:-1]), mutates_args=(),
                                 schema=_EMBEDDING)
    grads = torch.library.custom_op(f"{namespace}::perturbed_embedding_backward", backward, mutates_args=(),
                                    schema=_EMBEDDING_BACKWARD)

    def fake(ids: Tensor, positions: Tensor, types: Tensor, delta: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        work = torch.promote_types(delta.dtype, torch.float32)
        return (delta.new_empty(delta.shape), *(delta.new_empty(delta.shape[:2], dtype=work) for _ in range(2)))

    def fake_grads(grad: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        return grad.new_empty(grad.shape), grad.new_empty(grad.shape[-1:]), grad.new_empty(grad.shape[-1:])

    op.register_fake(fake)
    grads.register_fake(fake_grads)
    op.register_autograd(lambda ctx, grad, _mean, _rstd: _differentiate(ctx, grad, grads), setup_context=_keep)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, _bias, _epsilon, ctx.padding_id = inputs
    ctx.save_for_backward(*tensors, *output[1:])


def _differentiate(ctx: Any, grad: Tensor, backward: Callable[..., Any]) -> tuple[Tensor | None, ...]:
    """Gradients of the embedding block to its inputs, those that are wanted."""
    ids, positions, types, delta, *tables, mean, rstd = ctx.saved_tensors
    wanted = _wanted(ctx)
    affine = wanted[_WEIGHT] or wanted[_BIAS]
    summed, weight, bias = backward(grad.contiguous(), ids, positions, types, delta, *tables, mean, rstd, affine)

    def of_table(place: int, index: Tensor, padding_id: int) -> Tensor | None:
        if not wanted[place]:
            return None
        rows = len(tables[place - _WORDS])
        table: Tensor = torch.ops.aten.embedding_dense_backward(
            summed, index.expand(summed.shape[:2]), rows, padding_id, False)
        return table

    return (None, None, None, summed if wanted[_DELTA] else None,
            of_table(_WORDS, ids, ctx.padding_id), of_table(_POSITIONS, positions, ctx.padding_id),
            of_table(_TYPES, types, -1), weight if wanted[_WEIGHT] else None, bias if wanted[_BIAS] else None,
            None, None)


def _wanted(ctx: Any) -> list[bool]:
    """Which of the operation's tensors this backward pass needs the gradient of.

    `ctx.needs_input_grad` tells what could get a gradient, not what `autograd.grad` was asked for: an ascent step asks
    for delta alone, and must not pay for a gradient of the size of the word table.
    """
    def asked(node: Any) -> bool:
        try:
            return bool(torch._C._will_engine_execute_node(node))
        except (AttributeError, RuntimeError):  # a leaf, or a torch that cannot say
            return True

    nodes = getattr(ctx, "next_functions", ())
    return [needed and (place >= len(nodes) or nodes[place][0] is None or asked(nodes[place][0]))
            for place, needed in enumerate(ctx.needs_input_grad[:9])]
