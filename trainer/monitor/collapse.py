"""Collapse: in some runs, fine-tuning of large encoders falls to chance and stays there.

A run has collapsed when, after the warm-up, its model predicts one class for every example of the selection cell, no
better than always predicting the most frequent class, in two evaluations in a row. Mosbach et al. 2021, "On the
Stability of Fine-tuning BERT".
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trainer.config.schema import OptimizerSection, ScheduleSection
from trainer.evaluate.predict import Predictions
from trainer.results.numbers import PERCENT
from trainer.robust.settings import BallSettings, MethodSettings
from trainer.runs.state import TrainState

EVALUATIONS_IN_A_ROW = 2
FEWEST_STEPS = 200  # every model begins at chance; shorter runs are trials
LARGE = 1024  # hidden size from which on the learning rates of XLM-R large apply
LARGE_LR = 1e-5  # the upper end of the range that is safe there
WARMUP_AND_MORE = 0.3  # share of the run that a healthy model may need to leave chance, at least
_log = logging.getLogger(__name__)


class Collapsed(Exception):
    """The run is at chance and will stay there; the message says what to try."""


@dataclass(frozen=True)
class CollapseCheck:
    """The limits of one run."""

    max_steps: int
    warmup_ratio: float
    on_collapse: Literal["stop", "warn"]
    advice: str

    def check(self, state: TrainState, predictions: Predictions) -> None:
        """Count evaluations at chance in `state`; raise Collapsed, or warn, at the second in a row."""
        late = state.step >= max(FEWEST_STEPS, WARMUP_AND_MORE * self.max_steps, self.warmup_ratio * self.max_steps)
        state.collapsed_evaluations = state.collapsed_evaluations + 1 if late and is_constant(predictions) else 0
        if state.collapsed_evaluations < EVALUATIONS_IN_A_ROW:
            return
        message = (f"training has collapsed: at step {state.step} every dev example gets the same class (accuracy "
                   f"{PERCENT.with_unit(predictions.metric('accuracy'))}). {self.advice}")
        if self.on_collapse == "stop":
            raise Collapsed(message + "; --evaluation.on_collapse=warn goes on regardless")
        if state.collapsed_evaluations == EVALUATIONS_IN_A_ROW:
            _log.warning(message)


def is_constant(predictions: Predictions) -> bool:
    """True if every example got the same class, and that does no better than the most frequent class would."""
    if predictions.gold.min() < 0 or len(np.unique(predictions.predicted)) > 1:
        return False
    majority = np.bincount(predictions.gold).max() / len(predictions.gold)
    return bool(predictions.metric("accuracy") <= majority)


def collapse_advice(optimizer: OptimizerSection, schedule: ScheduleSection, robust: MethodSettings, *,
                    random_weights: bool, hidden_size: int) -> str:
    """Remedies for a model at chance that apply to these settings and a model of this width."""
    lr = f"optimizer.lr (now {optimizer.lr:g})"
    parts = [f"lower {lr} to between 5e-6 and 1e-5" if hidden_size >= LARGE and optimizer.lr > LARGE_LR
             else f"lower {lr}"]
    if schedule.warmup_ratio < 0.1:
        parts.append(f"raise schedule.warmup_ratio to 0.1 (now {schedule.warmup_ratio:g})")
    if optimizer.max_grad_norm is None:
        parts.append("clip gradients (optimizer.max_grad_norm)")
    if isinstance(robust, BallSettings):
        parts.append("let the radius grow later (robust.ramp_start, robust.ramp_end) or make it smaller "
                     f"(robust.epsilon, now {robust.epsilon:g})")
    if random_weights:
        parts.append("train longer: the weights begin at random")
    text = ", ".join([*parts, "or take another seed and report the failed one"])
    return text[0].upper() + text[1:]
