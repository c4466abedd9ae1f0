"""The tensors of one micro-batch: inputs of the model, and targets of the loss.

Shapes: B batch, L length of the longest row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

# An example's id is (cell number << 40) + row id, and of the windows or choices of a row + (their number << 30): unique
# in a run, the same in every process.
CELL_SHIFT, PART_SHIFT = 40, 30
PARTS = ((1 << CELL_SHIFT) - 1) ^ ((1 << PART_SHIFT) - 1)
"""Bits of an id that tell the inputs of one row apart."""


@dataclass(frozen=True)
class Batch:
    """One micro-batch on one device."""

    input_ids: Tensor  # (B, L) int64
    attention_mask: Tensor  # (B, L) bool, true on real tokens; padding is on the right
    token_types: Tensor  # (B, L) int64, those of the tokenizer's template, 0 on padding
    content_mask: Tensor  # (B, L) bool, true on tokens that are neither padding nor special: what may be perturbed
    example_ids: Tensor  # (B,) int64, unique in the run, equal but for PARTS in the inputs of a row; they key the noise
    targets: dict[str, Tensor] = field(default_factory=dict)  # by name, as the task's kind defines them
    first_at: Tensor | None = None  # (B,) int64, position of the first text's first token
    languages: Tensor | None = None  # (B, L) int64, `language_number` of a token's language, 0 on padding; if known
    task: str = ""  # whose head predicts it, in a run of several tasks
    partner: Batch | None = None  # row by row the example's partner in mixup; of the same length L

    @property
    def rows(self) -> int:
        """Number of rows whose first input is here: B, unless rows have several windows or choices."""
        return int((self.example_ids & PARTS == 0).sum())

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """A batch of the changed tensors, including targets and partners."""
        inputs = {f.name: change(tensor) for f in fields(self) if isinstance(tensor := getattr(self, f.name), Tensor)}
        return Batch(**inputs, task=self.task, targets={name: change(tensor) for name, tensor in self.targets.items()},
                     partner=None if self.partner is None else self.partner.map(change))
