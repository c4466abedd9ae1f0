"""The tensors of one micro-batch: what models read and kinds of tasks take their losses from.

Shapes: B batch, L length of the longest row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

IGNORED = -100  # the label of tokens that are not predicted; torch's cross_entropy knows it by this number


@dataclass(frozen=True)
class Batch:
    """One micro-batch on one device."""

    input_ids: Tensor  # (B, L) int64
    attention_mask: Tensor  # (B, L) bool, true on real tokens
    content_mask: Tensor  # (B, L) bool, true on tokens that are neither padding nor special: what may be perturbed
    labels: Tensor  # (B,) int64 classes, or (B, L) int64 token ids with IGNORED elsewhere
    example_ids: Tensor  # (B,) int64, unique in the run; they key the noise
    partner: Batch | None = None  # row by row what mixup mixes the example with; of the same length L

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """A batch of the changed tensors, partners' included."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "partner"}
        return Batch(**{name: change(tensor) for name, tensor in tensors.items()},
                     partner=None if self.partner is None else self.partner.map(change))

    @property
    def predictions(self) -> Tensor:
        """How many predictions the loss sums over: examples, or masked tokens; a scalar tensor."""
        return (self.labels != IGNORED).sum() if self.labels.dim() == 2 else torch.tensor(self.labels.numel())
