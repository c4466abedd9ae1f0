"""What a robust method sees of training: this context and nothing else.

A method is a function `step(ctx) -> metrics`. It may look at the site, ask for losses and input gradients as
often as it likes, and must call `ctx.backward` on what the update is to minimise. Losses are *sums* over the
micro-batch; `ctx.backward` turns them into shares of the mean over the global batch, so that a method never
deals with ranks, accumulation or ZeRO.

Notation: B examples, L tokens, H width; x_BLH the representation at the site, m_BL true on content tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, TypeVar

from trainer.robust.settings import MethodSettings

if TYPE_CHECKING:
    from torch import Tensor

# name -> (sum, weight): micro-batches and ranks add up, and sum / weight is the mean that is logged.
Metrics = Mapping[str, tuple["Tensor | float", "Tensor | float"]]
S = TypeVar("S", bound=MethodSettings, covariant=True)


class Context(Protocol[S]):
    """One micro-batch of one update, for a method with settings of class S."""

    kernels: ModuleType
    epsilon: float
    """The radius now, absolute, after the schedule; 0 means that the perturbation is still off."""
    weight: Tensor
    """Number of predictions behind a loss: examples for classification, masked tokens for language modelling."""

    @property
    def settings(self) -> S:
        """Settings of the method."""

    def site(self) -> tuple[Tensor, Tensor]:
        """(x_BLH detached, m_BL). The layers below the site run once per micro-batch, however often this is asked.

        A method asks for it, or for noise, before its first loss: later losses start from it, an earlier one would run
        the layers below once more, with other dropout masks.
        """

    def loss(self, delta_BLH: Tensor | None = None, *, ascent: bool = False) -> tuple[Tensor, Tensor]:
        """(loss summed over the micro-batch, logits) with x + delta at the site.

        ascent: the loss is only for `input_grad`; parameters get no gradient from it, and nothing below the
        site is in its graph. Each call draws dropout masks of its own above the site, or, with the setting
        `shared_dropout`, the same as the others; those below it are drawn once, by `site`.
        """

    def input_grad(self, loss: Tensor, delta_BLH: Tensor) -> Tensor:
        """d loss / d delta, shape (B, L, H), by `autograd.grad`: no parameter gradient is computed or touched."""

    def backward(self, loss: Tensor, *, last: bool = True) -> None:
        """Add the gradient of `loss` to the update. `last` is False for all but the final call of a step."""

    def accumulate(self, delta_BLH: Tensor, share: float, *, last: bool) -> tuple[Tensor, Tensor]:
        """Add `share` times the gradient of loss(x + delta) to the update, and return (loss sum, d loss / d delta).

        One backward pass gives both. The layers below the site are passed once, with `last`, however many calls
        there are. Not to be mixed with `backward` in one step.
        """

    def losses(self, logits: Tensor, *, of_partner: bool = False) -> Tensor:
        """(B,) the loss of each example behind `logits`, whose sum is what `loss` returns; or with partners' labels."""

    def divergence(self, logits: Tensor, other: Tensor) -> Tensor:
        """How far `other` predicts from `logits`, summed over predictions: KL(p || q) of the class distributions."""

    def ema_logits(self) -> Tensor:
        """Logits of the running average (EMA) of the model on the clean input, without gradients or dropout."""

    def towards_partner(self) -> Tensor:
        """(B, L, H): the partner's representation at the site minus the example's own, with gradients to what lies
        below; zero where either of them has no content token."""

    def uniform(self) -> Tensor:
        """(B,) counter-based numbers in (0, 1), one per example and update, in float64 on the CPU."""

    def noise(self, kind: str, draw: int) -> Tensor:
        """Counter-based noise in the current ball, (B, L, H): "uniform" or "gaussian"; draws are independent."""
