"""Numerical faults: updates skipped because of NaN or Inf, and spikes of the loss.

Input: what an update came to, over all ranks. Output: events in metrics.jsonl with the example ids of the global batch,
and `NotFinite` where too many updates in a row were skipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from trainer.config.schema import Recipe
from trainer.runs.state import TrainState

_MEMORY = 0.98  # of the running mean of the loss
_FEWEST_UPDATES = 10  # before which no mean can be trusted


class NotFinite(Exception):
    """Training does not get anywhere any more; the message says what to try."""


def check_update(
    recipe: Recipe, state: TrainState, update: int, loss: float, applied: bool,
    example_ids: Callable[[], list[list[int]]], note: Callable[[int, dict[str, Any]], None],
) -> None:
    """Look at `update`: its mean loss, and whether it was applied.

    example_ids: gathers the ids of the global batch, by rank; all ranks come to the same decision to call it.
    note: writes an event.
    """
    if applied:
        state.skipped_in_a_row = 0
    else:
        state.skipped += 1
        state.skipped_in_a_row += 1
        note(update, {"event": "skipped_update", "loss": _plain(loss), "example_ids": example_ids()})
        if state.skipped_in_a_row > recipe.engine.max_nonfinite_steps:
            raise NotFinite(_diagnosis(recipe, state, update, loss))
    if not math.isfinite(loss):
        return
    usual = state.usual_loss
    if usual is not None and update > _FEWEST_UPDATES and loss > recipe.logging.spike * usual:
        note(update, {"event": "loss_spike", "loss": loss, "usual_loss": usual, "example_ids": example_ids()})
    state.usual_loss = loss if usual is None else _MEMORY * usual + (1 - _MEMORY) * loss


def _diagnosis(recipe: Recipe, state: TrainState, update: int, loss: float) -> str:
    where = f"the loss is {loss:.3g}, the gradient is not finite" if math.isfinite(loss) else "the loss is not finite"
    remedies = ["lower optimizer.lr", "look at the example ids of the skipped updates in metrics.jsonl"]
    if recipe.engine.precision == "fp16":
        remedies.insert(0, "set engine.precision to bf16 or fp32")
    if recipe.robust.method != "plain":
        remedies.append("lower robust.epsilon, or let the radius grow later (robust.ramp_start, robust.ramp_end)")
    return (f"NaN or Inf in {state.skipped_in_a_row} updates in a row, the last of them {update}: {where}. "
            f"Try: {'; '.join(remedies)}")


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no NaN
