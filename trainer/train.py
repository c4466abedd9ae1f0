"""`python -m trainer train RECIPE [--dotted.key=value]`: the story of a run.

Input: a recipe. Output: `runs/<name>/` (see `trainer/runs/folder.py`). Everything is checked before anything is
written; the same command resumes a partial run and leaves a finished one as it is.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from data_prep.base.files import write_json
from data_prep.base.lock import held
from data_prep.shards.tokenizers import tokenizer_dir
from trainer.checkpoint.best import write_transformers_folder
from trainer.checkpoint.layout import complete_checkpoints
from trainer.checkpoint.store import Store, refuse_other_data
from trainer.config import Recipe, load_recipe
from trainer.data.loader import Examples, TrainingData, cell_name, open_training_data, training_batches
from trainer.data.partners import partner_choice
from trainer.data.sampler import updates_per_epoch
from trainer.distributed.collectives import barrier
from trainer.distributed.preemption import EXIT_REQUEUE, EXIT_STOPPED, STOP_SIGNALS, Preempted, failures_in_a_line
from trainer.distributed.ranks import Ranks, find_ranks, is_first_process
from trainer.engine.build import build_engine
from trainer.engine.ds_config import read_engine_config
from trainer.engine.engine import Engine, accumulation_steps, check_precision, start_distributed
from trainer.kernels import dispatch
from trainer.kinds import KINDS, Masking
from trainer.loop import run_updates
from trainer.model.build import build_model
from trainer.model.norms import measure_site_norm
from trainer.model.site import SiteModel
from trainer.monitor.collapse import EVALUATIONS_IN_A_ROW, CollapseCheck, Collapsed, collapse_advice
from trainer.monitor.nonfinite import NonFinite, NonfiniteCheck, nonfinite_remedies
from trainer.monitor.saving import Saver
from trainer.monitor.watcher import Watcher
from trainer.results.scores import is_at_chance, recipe_digest
from trainer.runs import folder as run_dir
from trainer.runs.identity import (
    determining_settings,
    evaluation_interval,
    evaluations_to_choose_from,
    majority_share,
    origin_run,
    rows_sha256,
)
from trainer.runs.log import RunLog, run_log
from trainer.runs.metrics_log import MetricsLog
from trainer.runs.record import doubtful_end, update_record
from trainer.runs.state import TrainState

_log = logging.getLogger(__name__)


def train(
    recipe: str, *, name: str | None = None, label: str | None = None, seed: int | None = None,
    output: str | None = None, init_from: str | None = None, kernels: str | None = None, **overrides: str,
) -> int:
    """Train one run from a RECIPE (a YAML file, or the name of one that ships), and keep its best checkpoint.

    Any other key of the recipe is set by its dotted name: --optimizer.lr=1e-5 --robust.method=pgd
    """
    top = {"name": name, "label": label, "seed": seed, "output": output, "init_from": init_from, "kernels": kernels}
    given = {key: str(value) for key, value in top.items() if value is not None}
    settings = load_recipe(recipe, {**given, **overrides}, announce=is_first_process())
    ranks = find_ranks()
    with run_log(ranks.is_main) as log:
        if run_dir.inspect(settings) == "done":
            _log.info("%s is done; nothing to do", run_dir.run_dir_of(settings))
            return 0
        lock = held(run_dir.run_dir_of(settings), "train") if ranks.is_main else nullcontext()
        with lock, STOP_SIGNALS, failures_in_a_line(ranks.world_size, settings.engine.timeout_seconds):
            return _run_once(settings, ranks, log)


def _run_once(settings: Recipe, ranks: Ranks, log: RunLog) -> int:
    """Train from the beginning or the last checkpoint until the run is done or stopped; returns the exit code."""
    engine_config = read_engine_config(settings.engine.config)
    data = open_training_data(settings.data)
    for checkpoint in reversed(complete_checkpoints(run_dir.run_dir_of(settings))):  # any of them may be taken
        refuse_other_data(checkpoint, data.rows_sha256)
    updates = count_updates(settings, data)
    backend_name, backend = dispatch.select(settings.kernels, announce=ranks.is_main)
    accumulation_steps(settings.batch, ranks.world_size)
    check_precision(settings.engine.precision, engine_config)
    mixes = settings.robust.method == "mixup"
    choose = partner_choice(settings.robust.partner, data.train, settings.seed) if mixes else None
    model, origin = build_model(settings, data.manifest, data.max_length)
    site_model = SiteModel(model, KINDS[data.manifest.kind], settings.robust.site)

    start_distributed(ranks, settings.engine.timeout_seconds)
    engine = build_engine(site_model, settings, ranks, updates)
    folder = run_dir.run_dir_of(settings)
    if ranks.is_main:
        log.open(run_dir.create(settings))
    barrier(engine.ranks)
    store = Store(engine, folder, settings.checkpoint, run_dir.digest(settings), data.rows_sha256)
    state = store.restore() or TrainState()
    examples = training_examples(settings, data)
    dev = {name: Examples([cell], data.max_length, masking=_fixed_masking(settings, data))
           for name, cell in data.dev.items()}
    if settings.robust.relative and settings.robust.method != "plain" and state.site_norm is None:
        state.site_norm = measure_site_norm(
            engine.module, examples, settings.robust, settings.evaluation.batch_size, settings.seed, engine.device)
    if ranks.is_main:
        determined = determining_settings(settings, data, updates, backend_name, model.config)
        update_record(
            folder, **_record(settings, data, updates, backend_name, origin, engine), settings=determined,
            recipe_digest=recipe_digest(determined), origin_run=origin_run(settings))
        _announce(folder, settings, data, updates, state, origin, engine)

    def save_best() -> None:
        weights = engine.full_state(site_model.model)
        if ranks.is_main:
            fingerprint = data.manifest.tokenizer.fingerprint
            write_transformers_folder(model, weights, tokenizer_dir(settings.data.shards, fingerprint),
                                      folder / run_dir.BEST)

    batches = training_batches(examples, settings.data, settings.batch.size, settings.seed, state.update, updates,
                               ranks.rank, ranks.world_size, engine.accumulation, choose)
    with MetricsLog(folder, active=ranks.is_main, resume_from=state.update) as metrics:
        watcher = Watcher(
            engine, state, updates, settings.robust, settings.evaluation, log_every=settings.logging.every_steps,
            evaluate_every=evaluation_interval(settings, updates), dev=dev, select_on=data.select_on,
            metric=data.manifest.metric, log=metrics,
            saver=Saver(store, settings.checkpoint, updates, ranks), nonfinite=_nonfinite_check(settings),
            collapse=CollapseCheck(updates, settings.schedule.warmup_ratio, settings.evaluation.on_collapse,
                                   _advice(settings, model.config.hidden_size)), save_best=save_best)
        try:
            run_updates(engine, settings, batches, state, updates, backend, watcher)
        except (Collapsed, NonFinite) as error:  # on every rank at once: all see the same numbers
            return _give_up(error, folder, settings, state, engine, data, save_best)
        except Preempted as error:
            _log.info("%s", error)
            engine.close()
            return EXIT_REQUEUE
    _finish(folder, settings, data, state, engine)
    return 0


def _give_up(error: Collapsed | NonFinite, folder: Path, recipe: Recipe, state: TrainState, engine: Engine,
             data: TrainingData, save_best: Callable[[], None]) -> int:
    """End a failed run; it keeps a model and a record, to be evaluated as a failed seed. Returns the exit code."""
    if not state.selected:  # nothing could be chosen yet; what there is, is the last step
        state.selected = {"cell": data.select_on, "metric": data.manifest.metric, "value": None, "step": state.update}
        save_best()
    if engine.ranks.is_main:
        status = "collapsed" if isinstance(error, Collapsed) else "diverged"
        update_record(folder, status=status, why=str(error), **_outcome(recipe, state, data))
    _log.error("%s", error)
    engine.close()
    return EXIT_STOPPED


def _nonfinite_check(recipe: Recipe) -> NonfiniteCheck:
    return NonfiniteCheck(recipe.engine.max_nonfinite_steps, recipe.logging.spike,
                          nonfinite_remedies(recipe.engine.precision, recipe.robust.method))


def _advice(recipe: Recipe, hidden_size: int) -> str:
    return collapse_advice(recipe.optimizer, recipe.schedule, recipe.robust,
                           random_weights=recipe.model.random is not None, hidden_size=hidden_size)


def count_updates(recipe: Recipe, data: TrainingData) -> int:
    """The length of the run in updates; InputError where the training cells cannot fill one batch."""
    per_epoch = updates_per_epoch(sum(len(cell) for cell in data.train), recipe.batch.size)
    if recipe.schedule.max_steps is not None:
        return recipe.schedule.max_steps
    return math.ceil(per_epoch * (recipe.schedule.epochs or 0))


def training_examples(recipe: Recipe, data: TrainingData) -> Examples:
    """The training cells under one index, masked anew in every epoch where the kind asks for it."""
    masking = Masking(recipe.data.mask_ratio, recipe.seed)
    return Examples(data.train, data.max_length, recipe.data.pad_to, masking)


def _fixed_masking(recipe: Recipe, data: TrainingData) -> Masking | None:
    """Dev cells are masked alike in every run, so that perplexities can be compared over seeds."""
    return Masking(recipe.data.mask_ratio, 0)


def _record(recipe: Recipe, data: TrainingData, updates: int, kernels: str, origin: dict[str, Any],
            engine: Engine) -> dict[str, Any]:
    manifest = data.manifest
    return {
        "status": "running",
        "name": recipe.name, "label": recipe.label, "seed": recipe.seed, "method": recipe.robust.method,
        "task": manifest.task, "kind": manifest.kind, "labels": manifest.labels, "metric": manifest.metric,
        "train_cells": [str(cell.path) for cell in data.train],
        "rows_sha256": data.rows_sha256,
        "train_languages": sorted({cell.manifest.language for cell in data.train}),
        "dev_cells": {name: {"rows_sha256": rows_sha256(cell), "chance": majority_share(cell)}
                      for name, cell in data.dev.items()},
        "max_length": data.max_length, "mask_ratio": recipe.data.mask_ratio,
        "tokenizer": manifest.tokenizer.model_dump(), "shards_root": recipe.data.shards, "updates": updates,
        "world_size": engine.ranks.world_size, "zero_stage": engine.stage, "device": str(engine.device),
        "precision": recipe.engine.precision, "kernels": kernels, "weights_from": origin,
        "shards_path": os.path.abspath(recipe.data.shards), "slurm_job": os.environ.get("SLURM_JOB_ID"),
    }


def _announce(folder: Path, recipe: Recipe, data: TrainingData, updates: int, state: TrainState,
              origin: dict[str, Any], engine: Engine) -> None:
    shards = recipe.data.shards
    start = f"resumed after update {state.update}" if state.update else "new run"
    _log.info("%s: %s, %d updates, %d training rows, %d rank(s), ZeRO %d, %s", folder, start, updates,
              sum(len(cell) for cell in data.train), engine.ranks.world_size, engine.stage, engine.device)
    if not tokenizer_dir(shards, data.manifest.tokenizer.fingerprint).is_dir():
        _log.warning("no tokenizer beside the shards in %s; %s will not hold one", shards, folder / run_dir.BEST)
    if tests := [cell_name(cell.path) for cell in data.train if cell.manifest.split == "test"]:
        _log.warning("data.train: training on %s, %s: what this run scores there says nothing of how well it "
                     "generalises", "a test cell" if len(tests) == 1 else "test cells", _listed(tests))
    if recipe.init_from is not None and (ended := doubtful_end(Path(recipe.init_from))):
        _log.warning("init_from: %s %s; this run begins with its encoder all the same", recipe.init_from, ended)
    if "new_keys" in origin:  # not so with random weights
        _log.info("%s", _origin_line(origin, data.manifest.labels))


def _origin_line(origin: dict[str, Any], labels: list[str]) -> str:
    """One line on which weights were taken from another model, dropped, reordered or new."""
    took = f"{origin['encoder_keys']} encoder weights" if "encoder_keys" in origin else "the encoder"
    reordered = f"reordered {', '.join(origin['reordered_keys'])}; " if "reordered_keys" in origin else ""
    line = (f"took {took} from {origin.get('init_from') or origin['model.name']}; dropped "
            f"{', '.join(origin['dropped_keys']) or 'nothing'}; {reordered}new "
            f"{', '.join(origin['new_keys']) or 'nothing'}")
    if "classes" in origin:
        line += f"; classes of the model: {_listed(origin['classes'])}; of the task: {_listed(labels)}"
    return line


def _listed(names: list[str]) -> str:
    """The first few of `names` on one line, with unprintable characters blanked."""
    shown = ["".join(letter if letter.isprintable() else " " for letter in name[:40]) for name in names[:5]]
    return ", ".join([*shown, *(["..."] if len(names) > 5 else [])])


def _finish(folder: Path, recipe: Recipe, data: TrainingData, state: TrainState, engine: Engine) -> None:
    """Complete the record, mark the run as done, and release the engine."""
    if engine.ranks.is_main:
        _mark_done(folder, recipe, state, data, engine.module.model.config.hidden_size)
    barrier(engine.ranks)
    engine.close()


def _outcome(recipe: Recipe, state: TrainState, data: TrainingData) -> dict[str, Any]:
    """The outcome of training, for the record; `at_chance` is None where the selection cell has no chance level."""
    chosen, value = data.select_on, state.selected.get("value")
    chance = majority_share(data.dev[chosen]) if chosen else None
    at_chance = None
    if chosen and value is not None and chance:
        evaluations = evaluations_to_choose_from(recipe, count_updates(recipe, data), state.update)
        at_chance = is_at_chance(value, chance, len(data.dev[chosen]), evaluations)
    return {"selection": state.selected, "oracle_by_cell": state.oracle, "at_chance": at_chance, "chance": chance,
            "site_norm": state.site_norm, "examples": state.examples, "wall_seconds": round(state.seconds, 3)}


def _mark_done(folder: Path, recipe: Recipe, state: TrainState, data: TrainingData, hidden_size: int) -> None:
    outcome = _outcome(recipe, state, data)
    # Told to go on after a collapse (evaluation.on_collapse), the run is a failed seed all the same.
    collapsed = state.collapsed_evaluations >= EVALUATIONS_IN_A_ROW
    update_record(folder, status="collapsed" if collapsed else "done", **outcome)
    write_json(folder / run_dir.DONE, {"update": state.update, **outcome})
    value = state.selected.get("value")
    early = f", out of patience after update {state.update}" if state.out_of_patience else ""
    best = "" if value is None else (f"; best {state.selected['metric']} on {state.selected['cell']} {value:.4f} at "
                                     f"update {state.selected['step']}")
    _log.info("%s: done in %.0f s%s%s", folder, state.seconds, early, best)
    if outcome["at_chance"]:
        _log.warning("the final model is at chance: accuracy %.4f on %s, where always naming the most frequent class "
                     "gives %.4f (sampling error allowed for). %s", value, state.selected["cell"], outcome["chance"],
                     _advice(recipe, hidden_size))
