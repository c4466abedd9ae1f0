"""Interface between robust methods and training: the context that a method's step is given, and nothing else.

A step is a function `step(ctx) -> metrics`. It may read the site and take losses and input gradients any number of
times, and must call `ctx.backward` on the objective. Losses are *sums* over the micro-batch; `ctx.backward` scales
them to shares of the mean over the global batch, so that methods know nothing of ranks, accumulation or ZeRO.

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
    """One micro-batch of one step, for a method with settings of class S."""

    kernels: ModuleType
    epsilon: float
    """Absolute radius at this step of the schedule; 0 while the method is off."""
    weight: Tensor
    """Number of predictions behind a loss: examples for classification, masked tokens for language modelling."""

    @property
    def settings(self) -> S:
        """Settings of the method."""

    def site(self) -> tuple[Tensor, Tensor]:
        """(x_BLH detached, m_BL). The layers below the site run once per micro-batch, however often this is called.

        Call it, or `noise`, before the first loss: later losses start from it, while an earlier one would run the
        layers below again, with other dropout masks.
        """

    def loss(self, delta_BLH: Tensor | None = None, *, ascent: bool = False) -> tuple[Tensor, Tensor]:
        """(loss summed over the micro-batch, logits) with x + delta at the site.

        ascent: the loss is for `input_grad` only; it gives parameters no gradient, and its graph ends at the site.
        Above the site, each call draws dropout masks of its own, or with `shared_dropout` the same as all others;
        below it, masks are drawn once, by `site`.
        """

    def input_grad(self, loss: Tensor, delta_BLH: Tensor) -> Tensor:
        """d loss / d delta, shape (B, L, H), by `autograd.grad`: no parameter gradient is computed or touched."""

    def backward(self, loss: Tensor, *, last: bool = True) -> None:
        """Accumulate the gradient of `loss`. `last` is False for all but the final call of a step."""

    def accumulate(self, delta_BLH: Tensor, share: float, *, last: bool) -> tuple[Tensor, Tensor]:
        """Accumulate `share` times the gradient of loss(x + delta); returns (loss sum, d loss / d delta).

        One backward pass gives both. The layers below the site are back-propagated once, with `last`, however many
        calls there are. Not to be mixed with `backward` in one step.
        """

    def losses(self, logits: Tensor, *, of_partner: bool = False) -> Tensor:
        """(B,) loss of each example, whose sum is the loss that `loss` returns; or against the partners' labels."""

    def divergence(self, logits: Tensor, other: Tensor) -> Tensor:
        """Divergence of `other` from `logits`, summed over predictions: KL(p || q) of the class distributions."""

    def ema_logits(self) -> Tensor:
        """Logits of the EMA of the model on the clean input, without gradients or dropout."""

    def towards_partner(self) -> Tensor:
        """(B, L, H): partner minus example at the site, with gradients to the layers below; zero unless both have a
        content token there."""

    def uniform(self) -> Tensor:
        """(B,) counter-based numbers in (0, 1), one per example and step, in float64 on the CPU."""

    def noise(self, kind: str, draw: int) -> Tensor:
        """Counter-based noise in the current ball, (B, L, H): "uniform" or "gaussian"; draws are independent."""
