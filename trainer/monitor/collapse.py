"""The collapse check: fine-tuning of large encoders falls to chance in some runs, and a cluster's night goes by.

A run has collapsed when, after the warm-up, its model gives one and the same class to every example of the dev cell it
is selected on, no better than always naming the most frequent class, in two evaluations in a row.

Inputs: predictions on the selection cell. Output: `Collapsed`, which ends the run with advice.
"""

from __future__ import annotations

import numpy as np

from trainer.config.schema import Recipe
from trainer.evaluate.predict import Predictions
from trainer.runs.state import TrainState

EVALUATIONS_IN_A_ROW = 2
FEWEST_UPDATES = 200  # every model begins at chance; shorter runs are trials
LARGE = 1024  # hidden size from which on the learning rates of XLM-R large apply
LARGE_LR = 1e-5  # the upper end of the range that is safe there
WARMUP_AND_MORE = 0.3  # share of the run that a healthy model may need to leave chance, at least


class Collapsed(Exception):
    """The run is at chance and will stay there; the message says what to try."""


def is_constant(predictions: Predictions) -> bool:
    """Whether every example got the same class, and that does no better than the most frequent class would."""
    if predictions.gold.min() < 0 or len(np.unique(predictions.predicted)) > 1:
        return False
    majority = np.bincount(predictions.gold).max() / len(predictions.gold)
    return bool(predictions.metric("accuracy") <= majority)


def advice(recipe: Recipe, hidden_size: int) -> str:
    """What to try against a model at chance, as far as it applies to this recipe and a model of this width."""
    lr = f"optimizer.lr (now {recipe.optimizer.lr:g})"
    parts = [f"lower {lr} to between 5e-6 and 1e-5" if hidden_size >= LARGE and recipe.optimizer.lr > LARGE_LR
             else f"lower {lr}"]
    if recipe.schedule.warmup_ratio < 0.1:
        parts.append(f"raise schedule.warmup_ratio to 0.1 (now {recipe.schedule.warmup_ratio:g})")
    if recipe.optimizer.max_grad_norm is None:
        parts.append("clip gradients (optimizer.max_grad_norm)")
    if recipe.robust.method not in ("plain", "mixup"):
        parts.append("let the radius grow later (robust.ramp_start, robust.ramp_end) or make it smaller "
                     f"(robust.epsilon, now {recipe.robust.epsilon:g})")
    if recipe.model.random is not None:
        parts.append("train longer: the weights begin at random")
    text = ", ".join([*parts, "or take another seed and report the failed one"])
    return text[0].upper() + text[1:]


def check_collapse(
    recipe: Recipe, state: TrainState, updates: int, predictions: Predictions, hidden_size: int
) -> None:
    """Count evaluations at chance in `state`; raise Collapsed at the second in a row, unless told to go on.

    hidden_size: the model's width, which the advice depends on.
    """
    late = state.update >= max(FEWEST_UPDATES, WARMUP_AND_MORE * updates, recipe.schedule.warmup_ratio * updates)
    state.collapsed_evaluations = state.collapsed_evaluations + 1 if late and is_constant(predictions) else 0
    if state.collapsed_evaluations < EVALUATIONS_IN_A_ROW:
        return
    accuracy = predictions.metric("accuracy")
    message = (
        f"training has collapsed: at update {state.update} every dev example gets the same class (accuracy "
        f"{accuracy:.3f}). {advice(recipe, hidden_size)}")
    if recipe.evaluation.on_collapse == "stop":
        raise Collapsed(message + "; --evaluation.on_collapse=warn goes on regardless")
    if state.collapsed_evaluations == EVALUATIONS_IN_A_ROW:
        print(f"warning: {message}", flush=True)
