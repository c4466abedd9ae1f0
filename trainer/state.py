"""Where a run stands: everything the loop must remember besides the engine's own state.

Random numbers need no place here: weights, data order, noise, masking and dropout are functions of the seed, the
update and the rank.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class TrainState:
    """What a checkpoint stores beside weights, optimiser and schedule; anything else is lost on resume."""

    update: int = 0
    """Updates done; the position in the data is a function of it."""
    examples: int = 0
    """Training examples seen."""
    seconds: float = 0.0
    """Wall-clock seconds of training, over all lives of the run."""
    site_norm: float | None = None
    """Mean norm of clean balls at the site when training began; a relative epsilon is a share of it."""
    selected: dict[str, Any] = field(default_factory=dict)
    """The best checkpoint on the selection cell so far: {"value", "step"}; empty before the first evaluation."""
    oracle: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Per dev cell, the best value and its step, chosen on that very cell."""
    collapsed_evaluations: int = 0
    """Evaluations in a row in which the model gave every example the same class."""
    windows: list[dict[str, Any]] = field(default_factory=list)
    """Per rank, the figures since the last line of the log: the next line is the same whether or not there was a
    resume in between."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainState:
        """The state that `to_dict` described."""
        return cls(**values)
