"""The concrete context that a robust method sees: one micro-batch of one step, on the engine.

Everything that makes a method exact under ZeRO and accumulation is here, so that methods are equations only.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainer.kernels import philox
from trainer.kinds.batch import Batch
from trainer.kinds.kind import Kind
from trainer.robust.protocol import Metrics
from trainer.robust.settings import MethodSettings, ball_of

if TYPE_CHECKING:  # not imported, so that a loop of one's own needs no DeepSpeed
    from trainer.engine.engine import Engine
    from trainer.engine.plain import PlainEngine


class StepContext:
    """Implements `trainer.robust.protocol.Context`, which defines each method."""

    def __init__(
        self, engine: Engine | PlainEngine, kernels: ModuleType, settings: MethodSettings, batch: Batch, *,
        epsilon: float, seed: int, step: int, global_weight: float, ends_step: bool, task_weight: float = 1.0,
    ) -> None:
        """global_weight: predictions over all ranks in the batch's part of the step; task_weight: factor on the mean
        over them."""
        self.settings = settings
        self.kernels = kernels
        self.epsilon = epsilon
        self._kind: Kind = engine.module.of(batch)[1]
        self.weight = self._kind.loss_count(batch)
        self._ball = ball_of(settings)
        self._engine = engine
        self._batch = batch
        self._seed = seed
        self._step = step
        # Ranks are averaged by the engine, micro-batches are added: this makes both a mean over the global batch.
        # A global batch without a single prediction (mlm on empty texts) has a loss, and a gradient, of zero.
        self._scale = task_weight * engine.ranks.world_size / max(1.0, global_weight)
        self._ends_step = ends_step
        self._site: Tensor | None = None
        self._site_grad: Tensor | None = None
        self._not_finite: Tensor | None = None
        self._asked = 0
        self._masks_begin: Tensor | None = None

    def site(self) -> tuple[Tensor, Tensor]:
        """(x_BLH detached, m_BL); the graph below the site is kept for the update."""
        if self._site is None:
            self._site = self._engine.module(self._batch, only_below=True)
        return self._site.detach(), self._batch.content_mask

    def loss(self, delta_BLH: Tensor | None = None, *, ascent: bool = False) -> tuple[Tensor, Tensor]:
        """(loss summed over the micro-batch, logits); through the engine for the update, beside it for the ascent."""
        self._begin_masks()
        if ascent:
            x_BLH, _ = self.site()
            logits: Tensor = self._engine.module(self._batch, delta_BLH, x_BLH)
        else:
            logits = self._engine(self._batch, delta_BLH, self._site)
        return self.losses(logits).sum(), logits

    def _begin_masks(self) -> None:
        """Before a pass above the site: where passes share dropout masks, go back to where the first one began.

        The last one leaves the generator where a single pass would, so the next micro-batch draws masks of its own.
        """
        if not self._ball.shared_dropout:
            return
        x_BLH, _ = self.site()  # its masks are drawn before any of these
        generator = dropout_generator(x_BLH.device)
        if self._masks_begin is None:
            self._masks_begin = generator.get_state()
        else:
            generator.set_state(self._masks_begin)

    def input_grad(self, loss: Tensor, delta_BLH: Tensor) -> Tensor:
        """d loss / d delta; weight gradients are not computed, so an ascent step costs two thirds of a full step."""
        scale = self._engine.loss_scale
        # fp16: gradients this small would round to zero on their way down; scaled on the way, unscaled in fp32.
        (grad,) = torch.autograd.grad(loss if scale == 1.0 else loss * scale, delta_BLH)
        self._count_not_finite(grad)
        return grad if scale == 1.0 else grad.float() / scale

    def backward(self, loss: Tensor, *, last: bool = True) -> None:
        """Add the gradient of this share of the global mean."""
        self._engine.backward(loss * self._scale, last=last and self._ends_step)

    def accumulate(self, delta_BLH: Tensor, share: float, *, last: bool) -> tuple[Tensor, Tensor]:
        """Add `share` of the gradient at x + delta to the update; returns (loss sum, d loss / d delta).

        All passes but the last end at the site, where their gradients are summed. The last
        one carries that sum below as the gradient of <x, sum>, so that the layers below are passed once, and the
        backward that ends a step reaches every parameter (with an offloaded optimiser, ZeRO hands over only what
        that backward reaches).
        """
        x_BLH, _ = self.site()
        point = delta_BLH.detach().requires_grad_(True)
        self._begin_masks()
        loss = self.losses(self._engine(self._batch, point, self._site if last else x_BLH)).sum()
        total = loss * (share * self._scale)
        if last and self._site_grad is not None and self._site is not None and self._site.requires_grad:
            # In fp32: in fp16 the sum would lose its small entries, since it meets the loss scale only on its way down.
            total = total + (self._site.float() * self._site_grad).sum()
        self._engine.backward(total, last=last and self._ends_step)
        if point.grad is None:
            raise RuntimeError("the loss does not depend on the perturbation")
        self._count_not_finite(point.grad)
        sent = point.grad.float() / self._engine.loss_scale
        self._site_grad = sent if self._site_grad is None else self._site_grad + sent
        return loss.detach(), sent / (share * self._scale)

    def _count_not_finite(self, grad_BLH: Tensor) -> None:
        """The kernels leave a token (or sequence) with NaN or Inf in its gradient where it is; `metrics` reports it."""
        rows = (~torch.isfinite(grad_BLH.detach().sum(dim=-1, dtype=torch.float32)) & self._batch.content_mask).sum()
        self._not_finite = rows if self._not_finite is None else self._not_finite + rows
        self._asked += 1

    def metrics(self) -> Metrics:
        """Share of content tokens whose ascent gradient held NaN or Inf; nothing where there was no ascent."""
        if self._not_finite is None:
            return {}
        return {"ascent_not_finite_share": (self._not_finite, self._asked * self._batch.content_mask.sum())}

    def losses(self, logits: Tensor, *, of_partner: bool = False) -> Tensor:
        """(B,) the loss of each example, or of its mixture against its partner's label."""
        batch = self._partner if of_partner else self._batch
        losses: Tensor = self._kind.losses(logits, batch)
        return losses

    def divergence(self, logits: Tensor, other: Tensor) -> Tensor:
        """KL(p || q) summed over predictions, as the head's kind defines it."""
        divergence: Tensor = self._kind.divergence(logits, other, self._batch)
        return divergence

    def ema_logits(self) -> Tensor:
        """Logits of the running average (EMA) of the model."""
        return self._engine.average_logits(self._batch)

    def towards_partner(self) -> Tensor:
        """Partner minus example at the site, where both have content; both are padded to the same length."""
        self.site()
        other_BLH = self._engine.module(self._partner, only_below=True)
        both_BL = self._batch.content_mask & self._partner.content_mask
        return torch.where(both_BL.unsqueeze(-1), other_BLH - self._site, 0.0)

    def uniform(self) -> Tensor:
        """(B,) float64 on the CPU: one counter-based number per example."""
        ids_B = self._batch.example_ids.cpu()
        bits = philox.counter_bits(self._seed, self._step, ids_B, 1, 1, philox.STREAM_MIXING)
        return philox.uniform(bits).view(-1).double()

    @property
    def _partner(self) -> Batch:
        if self._batch.partner is None:
            raise RuntimeError("the data was loaded without partners")
        return self._batch.partner

    def noise(self, kind: str, draw: int) -> Tensor:
        """Counter-based noise in the current ball, keyed by seed, step and example id."""
        x_BLH, m_BL = self.site()
        s = self._ball
        _, delta = self.kernels.perturb_init(
            x_BLH, m_BL, self.epsilon, s.norm, s.scope, kind, self._seed, self._step, self._batch.example_ids, draw)
        noise: Tensor = delta
        return noise


def dropout_generator(device: torch.device) -> torch.Generator:
    """The generator that dropout on `device` draws from."""
    if device.type != "cuda":
        return torch.default_generator
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.default_generators[index]
