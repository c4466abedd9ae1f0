"""The running average of a model's weights, which SMART's Bregman term keeps the model near.

    theta_bar <- beta * theta_bar + (1 - beta) * theta        after every update (Jiang et al. 2020, section 2.2)

Every rank holds a whole copy in fp32, computed from the same numbers, so that the copies never differ. Only the engine
uses this file: it knows how to gather weights, and when an update is over.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from trainer.kinds.batch import Batch

FILE = "average.pt"  # beside a checkpoint's other files


class RunningAverage:
    """A copy of the model that follows it."""

    def __init__(self, model: nn.Module, momentum: float) -> None:
        """The copy starts as `model` is, which must be whole: before ZeRO-3 takes it apart."""
        self.momentum = momentum
        self._model = copy.deepcopy(model).float().eval().requires_grad_(False)

    def to(self, device: torch.device) -> None:
        """Move the copy."""
        self._model.to(device)

    @torch.no_grad()
    def follow(self, weights: Iterable[Tensor]) -> None:
        """Move every weight towards the model's, given in the order of its parameters."""
        for mine, new in zip(self._model.parameters(), weights, strict=True):
            mine.lerp_(new.to(mine.dtype), 1.0 - self.momentum)

    @torch.no_grad()
    def logits(self, batch: Batch) -> Tensor:
        """The copy's logits, without dropout."""
        logits: Tensor = self._model(batch)
        return logits

    def state(self) -> dict[str, Tensor]:
        """The copy's weights by name."""
        return {name: weight.detach() for name, weight in self._model.named_parameters()}

    def take(self, weights: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave."""
        with torch.no_grad():
            for name, weight in self._model.named_parameters():
                weight.copy_(weights[name])
