"""Early stopping: too many evaluations in a row without a better model on the selection cell."""

from __future__ import annotations

from trainer.runs.state import TrainState


def update_patience(state: TrainState, *, counts: bool, is_best: bool, patience: int | None) -> None:
    """Count an evaluation, and set `state.out_of_patience` after `patience` in a row without gain.

    Evaluations that do not count for selection reset the count. patience: None never stops.
    """
    state.evaluations_without_gain = 0 if is_best or not counts else state.evaluations_without_gain + 1
    state.out_of_patience = patience is not None and state.evaluations_without_gain >= patience
