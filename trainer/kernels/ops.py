"""Register a backend's functions with `torch.library`: robust_reference::*, robust_cpu::*, robust_triton::*.

Registered operations have fake kernels and gradients and stay whole under `torch.compile`. Gradients: x + delta passes
on the gradient of x; delta counts as a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_INIT = ("(Tensor x, Tensor mask, float epsilon, str norm, str scope, str kind, int seed, int step, "
         "Tensor example_ids, int draw) -> (Tensor, Tensor)")
_ASCEND = ("(Tensor delta, Tensor grad, Tensor x, Tensor mask, float step_size, float epsilon, str norm, str scope)"
           " -> (Tensor, Tensor)")
_DROPOUT = "(Tensor x, float rate, Tensor seed) -> Tensor"
_PROJECT = "(Tensor delta, Tensor mask, float epsilon, str norm, str scope) -> Tensor"


def register(namespace: str, init: Callable[..., Any], ascend: Callable[..., Any],
             project: Callable[..., Any]) -> None:
    """Register a backend's perturb_init, perturb_ascend and perturb_project under `namespace`."""
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


def register_dropout(namespace: str, dropout: Callable[..., Any]) -> None:
    """Register a backend's dropout under `namespace`; its gradient is dropped out by the same seed."""
    def keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.rate, seed = inputs
        ctx.save_for_backward(seed)

    op = torch.library.custom_op(f"{namespace}::dropout", dropout, mutates_args=(), schema=_DROPOUT)
    op.register_fake(lambda x, rate, seed: x.new_empty(x.shape))
    op.register_autograd(lambda ctx, grad: (op(grad, ctx.rate, *ctx.saved_tensors), None, None), setup_context=keep)
