"""Training state: what a checkpoint stores besides the engine's own state.

No random state: weights, data order, noise, masking and dropout are functions of the seed, the step and, dropout
only, of the rank and the split into micro-batches.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field
from typing import Any

EARLIER_NAMES = {"update": "step", "skipped": "nonfinite_steps", "skipped_in_a_row": "nonfinite_in_a_row"}


@dataclass
class TrainState:
    """State beside weights, optimiser and schedule; anything that is not here is lost on resume."""

    step: int = 0
    """Steps done; the position in the data is a function of it."""
    examples: int = 0
    """Training examples seen."""
    seconds: float = 0.0
    """Wall-clock seconds of training, over all lives of the run."""
    decay: float = 1.0
    """Factor that weight decay has put on matrices by itself: the product of 1 - lr * weight_decay over all updates."""
    site_norm: float | None = None
    """Mean norm of clean balls at the site when training began; a relative epsilon is a share of it."""
    selected: dict[str, Any] = field(default_factory=dict)
    """The best checkpoint on the selection cell so far: {"value", "step"}; empty before the first evaluation."""
    oracle: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Per dev cell, the best value and its step, chosen on that very cell."""
    evaluations_without_gain: int = 0
    """Evaluations in a row that were no better than the best one before, at the full radius."""
    out_of_patience: bool = False
    """True if these have ended the run."""
    collapsed_evaluations: int = 0
    """Evaluations in a row in which the model gave every example the same class."""
    nonfinite_steps: int = 0
    """Steps whose update was not applied because of NaN or Inf in a loss or a gradient."""
    nonfinite_in_a_row: int = 0
    """Those among them since the last step that was applied."""
    usual_loss: dict[str, float] = field(default_factory=dict)
    """Running mean of the loss per step, which a spike is measured against; in a mixture by the tasks of the step."""
    windows: list[dict[str, Any]] = field(default_factory=list)
    """Per rank, the open window of the meter: the next line of the log is the same with or without a resume."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainState:
        """The state that `to_dict` described, in this version or an earlier one."""
        values = {EARLIER_NAMES.get(name, name): value for name, value in values.items()}
        if not isinstance(usual := values.get("usual_loss", {}), dict):
            values["usual_loss"] = {} if usual is None else {"": usual}
        return cls(**values)

    def for_ranks(self, world_size: int) -> TrainState:
        """The same state for a start with another number of ranks: the first takes all open windows."""
        if self.windows and len(self.windows) != world_size:
            self.windows = merge_windows(self.windows, world_size)
        return self


def merge_windows(windows: list[dict[str, Any]], world_size: int) -> list[dict[str, Any]]:
    """The windows of all ranks added up in the first of `world_size`; the others' are empty."""
    first: dict[str, Any] = {"sums": {}, "examples": 0, "tokens": 0, "padded_tokens": 0, "seconds": 0.0}
    for window in windows:
        for name, (total, weight) in window["sums"].items():
            before = first["sums"].get(name, [0.0, 0.0])
            first["sums"][name] = [before[0] + total, before[1] + weight]
        for name in ("examples", "tokens", "padded_tokens"):
            first[name] += window[name]
        first["seconds"] = max(first["seconds"], window["seconds"])
    empty = {"sums": {name: [0.0, 0.0] for name in first["sums"]}, "examples": 0, "tokens": 0, "padded_tokens": 0,
             "seconds": first["seconds"]}
    return [first] + [copy.deepcopy(empty) for _ in range(world_size - 1)]
