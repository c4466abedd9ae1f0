"""Selection of the best checkpoint: the best value on the selection cell among the evaluations that count.

The best value of every other dev cell is kept beside it (`oracle`): an upper bound that selects nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from trainer.runs.state import TrainState


def update_best(
    state: TrainState, values: Mapping[str, float], signs: Mapping[str, float], select_on: str | None, metric: str
) -> bool:
    """Take an evaluation after step `state.step` into account; returns whether its model is the best so far.

    values: dev cell -> value. signs: dev cell -> 1 where higher is better, -1 where lower is. select_on: the selection
    cell; None where there is no dev cell, and every later model counts as better. metric: that of the selection cell.
    Of equal values the latest is taken: it has seen the most of what the method teaches.
    """
    for name, value in values.items():
        best = state.oracle.get(name)
        if best is None or signs[name] * value >= signs[name] * best["value"]:
            state.oracle[name] = {"value": value, "step": state.step}
    is_best = select_on is None or state.oracle[select_on]["step"] == state.step
    if is_best:
        value_here = state.oracle[select_on]["value"] if select_on else None
        state.selected = {"cell": select_on, "metric": metric, "value": value_here, "step": state.step}
    return is_best
