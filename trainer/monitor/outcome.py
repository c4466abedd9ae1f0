"""The outcome of a run: its record and done.json, the last line of its log, and whether its model is at chance."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from data_prep.base.files import write_json
from trainer.checkpoint.layout import remove_checkpoints
from trainer.config.schema import CheckpointSection, Recipe
from trainer.data.loader import TrainingData
from trainer.data.mixture import Mixture
from trainer.metrics import METRICS
from trainer.monitor.collapse import EVALUATIONS_IN_A_ROW, Collapsed
from trainer.monitor.nonfinite import NonFinite
from trainer.results.numbers import PERCENT, duration, scale_of
from trainer.results.scores import is_at_chance
from trainer.runs.folder import DONE
from trainer.runs.identity import evaluations_to_choose_from, majority_share
from trainer.runs.record import update_record
from trainer.runs.state import TrainState

_log = logging.getLogger(__name__)


def outcome(
    recipe: Recipe, state: TrainState, data: TrainingData, mixture: Mixture | None, max_steps: int
) -> dict[str, Any]:
    """The outcome of training, for the record; `at_chance` is None where the selection cell has no chance level."""
    chosen, value = data.select_on, state.selected.get("value")
    has_chance = METRICS[data.manifest.metric].majority_is_chance
    chance = majority_share(data.dev[chosen]) if chosen and has_chance else None
    at_chance = None
    if chosen and value is not None and chance:
        evaluations = evaluations_to_choose_from(recipe, max_steps, state.step)
        at_chance = is_at_chance(value, chance, len(data.dev[chosen]), evaluations)
    drawn = {}
    if mixture is not None:
        counts = mixture.drawn(state.step).tolist()
        drawn = {"drawn_shares": {task: count / max(1, sum(counts))
                                  for task, count in zip(mixture.tasks, counts, strict=True)}}
    return {**drawn, "selection": state.selected, "oracle_by_cell": state.oracle, "at_chance": at_chance,
            "chance": chance, "site_norm": state.site_norm, "examples": state.examples,
            "wall_seconds": round(state.seconds, 3)}


def mark_failed(folder: Path, error: Collapsed | NonFinite, found: dict[str, Any]) -> None:
    """Record that training was given up because of `error`. found: as `outcome` returns it."""
    update_record(folder, status="collapsed" if isinstance(error, Collapsed) else "diverged", why=str(error), **found)


def mark_done(
    folder: Path, state: TrainState, found: dict[str, Any], advice: str, checkpoints: CheckpointSection
) -> None:
    """Record that the run is done, drop its checkpoints, and log its outcome. advice: against a model at chance."""
    # Told to go on after a collapse (evaluation.on_collapse), the run is a failed seed all the same.
    collapsed = state.collapsed_evaluations >= EVALUATIONS_IN_A_ROW
    update_record(folder, status="collapsed" if collapsed else "done", **found)
    write_json(folder / DONE, {"step": state.step, **found})
    if not checkpoints.keep_when_done:  # not before: a run without either would begin again
        remove_checkpoints(folder)
    value = state.selected.get("value")
    early = f", out of patience after step {state.step}" if state.out_of_patience else ""
    best = "" if value is None else "; best {metric} on {cell} {shown} at step {step}".format(
        shown=scale_of(state.selected["metric"]).with_unit(value), **state.selected)
    _log.info("%s: done in %s%s%s", folder, duration(state.seconds), early, best)
    if found["at_chance"] and value is not None:
        _log.warning("the final model is at chance: accuracy %s on %s, where always naming the most frequent class "
                     "gives %s (sampling error allowed for). %s", PERCENT.with_unit(value), state.selected["cell"],
                     PERCENT.with_unit(found["chance"]), advice)
