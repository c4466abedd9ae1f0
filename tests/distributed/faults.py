"""Mistakes that others have made, planted into the product on purpose: the exactness check must catch each.

Every fault is a function that patches the product and returns a function that takes the patch back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainer.engine.engine import Engine
from trainer.engine.step_context import StepContext
from trainer.kernels import reference
from trainer.model.site import SiteModel

Undo = Callable[[], None]


def _patch(owner: Any, name: str, wrapper: Callable[..., Any]) -> Undo:
    original = getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: wrapper(original, *args, **kwargs))
    return lambda: setattr(owner, name, original)


def naive_boundary() -> Undo:
    """FreeLB written naively: each of its backwards is taken for the end of the accumulation."""
    return _patch(Engine, "backward", lambda original, self, loss, last: original(self, loss, True))


def missing_mask() -> Undo:
    """Padding and special tokens are perturbed too."""
    def ascend(original: Any, delta: Tensor, grad: Tensor, x: Tensor, m: Tensor, *rest: Any) -> Any:
        return original(delta, grad, x, torch.ones_like(m), *rest)

    return _patch(reference, "perturb_ascend", ascend)


def epsilon_guards_a_division() -> Undo:
    """mt-dnn's reading: epsilon only keeps the norm of the gradient from being zero, and nothing is projected."""
    def ascend(original: Any, delta: Tensor, grad: Tensor, x: Tensor, m: Tensor, step: float, epsilon: float,
               *rest: Any) -> Any:
        grad = grad * m.unsqueeze(-1)
        moved = delta + step * grad / (grad.norm(dim=-1, keepdim=True) + epsilon)
        return x + moved, moved

    return _patch(reference, "perturb_ascend", ascend)


def noise_by_position() -> Undo:
    """The noise of an example depends on its place in the micro-batch."""
    def init(original: Any, x: Tensor, m: Tensor, epsilon: float, norm: str, scope: str, kind: str, seed: int,
             update: int, ids: Tensor, draw: int) -> Any:
        return original(x, m, epsilon, norm, scope, kind, seed, update, torch.arange(len(ids)), draw)

    return _patch(reference, "perturb_init", init)


def ascent_leaks_into_the_update() -> Undo:
    """The ascent back-propagates into the parameters: their gradient is a sum over ascent and update."""
    def input_grad(original: Any, self: Any, loss: Tensor, delta: Tensor) -> Tensor:
        (grad,) = torch.autograd.grad(loss, delta, retain_graph=True)
        loss.backward()
        return grad

    return _patch(StepContext, "input_grad", input_grad)


def heads_without_a_gradient() -> Undo:
    """Of several heads, those that a micro-batch does not use get no gradient, not one of zero.

    Most of DeepSpeed's optimisers take it for zero; those that keep their state on the host pass over the head.
    """
    return _patch(SiteModel, "_zero_of_other_heads", lambda original, self, batch, dtype: torch.zeros((), dtype=dtype))


FAULTS: dict[str, Callable[[], Undo]] = {
    "naive_boundary": naive_boundary,
    "missing_mask": missing_mask,
    "epsilon_guards_a_division": epsilon_guards_a_division,
    "noise_by_position": noise_by_position,
    "ascent_leaks_into_the_update": ascent_leaks_into_the_update,
    "heads_without_a_gradient": heads_without_a_gradient,
}
