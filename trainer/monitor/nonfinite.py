"""Non-finite steps (NaN or Inf in a loss or gradient; the weights are not updated) and spikes of the loss.

Output: events in metrics.jsonl with the example ids of the global batch, and `NonFinite` after too many non-finite
steps in a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainer.config.schema import EngineSection, LoggingSection
from trainer.robust.settings import BallSettings, MethodSettings
from trainer.runs.state import TrainState

_MEMORY = 0.98  # of the running mean of the loss
_FEWEST_STEPS = 10  # before which no mean can be trusted


class NonFinite(Exception):
    """Too many consecutive non-finite steps; the message says what to try."""


@dataclass(frozen=True)
class NonfiniteCheck:
    """The limits of one run."""

    max_nonfinite_steps: int
    """In a row; one more ends the run."""
    spike: float
    """A loss above this multiple of its running mean is noted."""
    remedies: str

    def check(self, state: TrainState, step: int, loss: float, applied: bool,
              example_ids: Callable[[], list[list[int]]], note: Callable[[int, dict[str, Any]], None],
              tasks: str = "") -> None:
        """Check `step` by its mean loss over the global batch and by whether its update was applied.

        example_ids: gathers the ids of the global batch, by rank; all ranks decide alike whether to call it.
        note: writes an event. tasks: those of the step in a mixture, whose losses have a mean of their own. Raises
        NonFinite.
        """
        if applied:
            state.nonfinite_in_a_row = 0
        else:
            state.nonfinite_steps += 1
            state.nonfinite_in_a_row += 1
            note(step, {"event": "skipped_step", "loss": _plain(loss), "example_ids": example_ids()})
            if state.nonfinite_in_a_row > self.max_nonfinite_steps:
                found = f"the loss is {loss:.3g}, the gradient is not finite" if math.isfinite(loss) else (
                    "the loss is not finite")
                raise NonFinite(f"NaN or Inf in {state.nonfinite_in_a_row} steps in a row, the last of them {step}: "
                                f"{found}. Try: {self.remedies}")
        if not math.isfinite(loss):
            return
        usual = state.usual_loss.get(tasks)
        if usual is not None and step > _FEWEST_STEPS and loss > self.spike * usual:
            note(step, {"event": "loss_spike", "loss": loss, "usual_loss": usual, "example_ids": example_ids()})
        state.usual_loss[tasks] = loss if usual is None else _MEMORY * usual + (1 - _MEMORY) * loss


def nonfinite_check(engine: EngineSection, logging: LoggingSection, robust: MethodSettings) -> NonfiniteCheck:
    """The check that these sections ask for."""
    remedies = ["lower optimizer.lr", "look at the example ids of the skipped steps in metrics.jsonl"]
    if engine.precision == "fp16":
        remedies.insert(0, "set engine.precision to bf16 or fp32")
    if isinstance(robust, BallSettings):
        remedies.append("lower robust.epsilon, or let the radius grow later (robust.ramp_start, robust.ramp_end)")
    return NonfiniteCheck(engine.max_nonfinite_steps, logging.spike, "; ".join(remedies))


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no NaN
