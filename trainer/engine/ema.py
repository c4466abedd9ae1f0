"""Exponential moving average (EMA) of a model's weights, which SMART's Bregman term keeps the model near.

    theta_bar <- beta * theta_bar + (1 - beta) * theta        after every step (Jiang et al. 2020, section 2.2)

Every rank holds a whole copy in fp32, computed from the same numbers, so the copies never differ. Only the engine uses
this file: it gathers sharded weights and knows when a step is over.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from trainer.kinds.batch import Batch

FILE = "average.pt"  # beside a checkpoint's other files


class WeightEMA:
    """A copy of a model whose weights are the EMA of the model's."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """The copy starts as `model` is, which must be whole: before ZeRO-3 partitions it."""
        self.decay = decay
        self._model = copy.deepcopy(model).float().eval().requires_grad_(False)

    def to(self, device: torch.device) -> None:
        """Move the copy."""
        self._model.to(device)

    @torch.no_grad()
    def update(self, weights: Iterable[Tensor]) -> None:
        """Average in the model's weights, given in the order of its parameters."""
        for mine, new in zip(self._model.parameters(), weights, strict=True):
            mine.lerp_(new.to(mine.dtype), 1.0 - self.decay)

    @torch.no_grad()
    def logits(self, batch: Batch) -> Tensor:
        """The copy's logits, without dropout."""
        logits: Tensor = self._model(batch)
        return logits

    def state_dict(self) -> dict[str, Tensor]:
        """The copy's weights by name."""
        return {name: weight.detach() for name, weight in self._model.named_parameters()}

    def load_state_dict(self, weights: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""
        with torch.no_grad():
            for name, weight in self._model.named_parameters():
                weight.copy_(weights[name])
