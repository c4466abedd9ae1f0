"""Engine in plain torch, for one process without DeepSpeed: what `StepContext` asks of an engine, and no optimiser."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from trainer.distributed.ranks import Ranks
from trainer.engine.ema import WeightEMA
from trainer.kinds.batch import Batch
from trainer.model.site import SiteModel


class PlainEngine:
    """A model whose gradients torch accumulates. The optimiser, clipping and schedule are the caller's."""

    loss_scale = 1.0

    def __init__(self, module: SiteModel, ema_decay: float | None = None) -> None:
        """ema_decay: keep an EMA of the weights, see `average`; None keeps none."""
        self.module = module
        self.ranks = Ranks(0, 1, 0)
        self._ema = None if ema_decay is None else WeightEMA(module, ema_decay)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The update's forward pass."""
        return self.module(*args, **kwargs)

    def backward(self, loss: Tensor, last: bool) -> None:
        """Add the gradient of `loss`."""
        loss.backward()

    def average(self) -> None:
        """Take the weights into the EMA, if one is kept; to be called after every update."""
        if self._ema is not None:
            self._ema.update(parameter.detach() for parameter in self.module.parameters())

    def average_logits(self, batch: Batch) -> Tensor:
        """Logits of the EMA of the model, without gradients or dropout."""
        if self._ema is None:
            raise RuntimeError("no EMA is kept: the method's settings ask for none")
        return self._ema.logits(batch)
