"""One life of a run: from the beginning or the last checkpoint until the run is done or stopped.

Input: the settings of a recipe. Output: `runs/<name>/` (see `trainer/runs/folder.py`). Everything is checked before
anything is written.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from data_prep.shards.tokenizers import tokenizer_dir
from trainer.checkpoint.best import write_transformers_folder
from trainer.checkpoint.layout import complete_checkpoints
from trainer.checkpoint.snapshots import Snapshots
from trainer.checkpoint.store import Store, refuse_other_data
from trainer.config import Recipe
from trainer.data.loader import Examples, TrainingData, open_training_data
from trainer.data.mixture import Mixture, batches_of, mixture_of
from trainer.data.partners import partner_choice
from trainer.data.sampler import Choice, steps_per_epoch
from trainer.data.tasks import cell_name
from trainer.distributed.collectives import barrier
from trainer.distributed.preemption import EXIT_REQUEUE, EXIT_STOPPED, Preempted
from trainer.distributed.ranks import Ranks
from trainer.engine.build import build_engine
from trainer.engine.ds_config import read_engine_config
from trainer.engine.engine import Engine, accumulation_steps, check_engine, start_distributed
from trainer.kernels import dispatch
from trainer.kinds import KINDS, Masking
from trainer.loop import run_steps
from trainer.model.build import build_models
from trainer.model.encoders import FAMILIES, RANDOM
from trainer.model.heads import own_keys
from trainer.model.languages import check_languages
from trainer.model.norms import measure_site_norm
from trainer.model.site import SiteModel
from trainer.model.vocabulary import WholeTable, tokens_to_train, trim_vocabulary
from trainer.monitor.announce import announce
from trainer.monitor.collapse import CollapseCheck, Collapsed, collapse_advice
from trainer.monitor.dynamics import Dynamics, check_dynamics
from trainer.monitor.nonfinite import NonFinite, nonfinite_check
from trainer.monitor.outcome import mark_done, mark_failed, outcome
from trainer.monitor.progress import Progress
from trainer.monitor.saving import Saver
from trainer.monitor.watcher import Watcher
from trainer.results.scores import recipe_digest
from trainer.robust.settings import BallSettings, site_of
from trainer.runs import folder as run_dir
from trainer.runs.identity import determining_settings, evaluation_interval, majority_share, origin_run
from trainer.runs.log import RunLog
from trainer.runs.metrics_log import MetricsLog
from trainer.runs.next_command import without_scores
from trainer.runs.record import read_record, update_record
from trainer.runs.state import TrainState
from trainer.runs.then import NOTHING

_log = logging.getLogger(__name__)


def _checked_data(settings: Recipe, ranks: Ranks) -> TrainingData:
    """Open the cells; raises InputError for whatever would fail later, before anything is written."""
    engine_config = read_engine_config(settings.engine.config)
    data = open_training_data(settings.data, settings.mixture)
    for checkpoint in reversed(complete_checkpoints(run_dir.run_dir_of(settings))):  # any of them may be taken
        refuse_other_data(checkpoint, data.rows_sha256)
    mixture_of(settings.mixture, settings.batch, data.tasks, settings.seed)
    accumulation_steps(settings.batch, ranks.world_size, settings.mixture.tasks_per_step)
    check_dynamics(settings, data, count_steps(settings, data))
    check_engine(settings.engine, engine_config)
    return data


def train_once(settings: Recipe, ranks: Ranks, log: RunLog, then: str) -> int:
    """Train until the run is done or stopped; returns the exit code. then: what follows it (`trainer.runs.then`)."""
    data = _checked_data(settings, ranks)
    mixture = mixture_of(settings.mixture, settings.batch, data.tasks, settings.seed)
    max_steps = count_steps(settings, data)
    backend_name, backend = dispatch.select(settings.kernels, announce=ranks.is_main)
    choices = _partner_choices(settings, data)
    site_model, table, origin = _build(settings, data, ranks)

    start_distributed(ranks, settings.engine.timeout_seconds)
    engine = build_engine(site_model, settings, ranks, max_steps)
    folder = run_dir.run_dir_of(settings)
    if ranks.is_main:
        run_dir.create(settings)
    barrier(engine.ranks)
    store = Store(engine, folder, settings.checkpoint, run_dir.digest(settings), data.rows_sha256, table)
    state = store.restore() or TrainState()
    if ranks.is_main:
        log.open(folder)  # not before: a refused resume leaves the folder as it is
    examples, dev = training_examples(settings, data), dev_examples(settings, data)
    if isinstance(settings.robust, BallSettings) and settings.robust.relative and state.site_norm is None:
        shares = dict(zip(examples.values(), [1.0] if mixture is None else mixture.shares.tolist(), strict=True))
        state.site_norm = measure_site_norm(engine.module, shares, settings.robust, settings.evaluation.batch_size,
                                            settings.seed, engine.device)
    if ranks.is_main:
        _write_record(folder, settings, data, mixture, max_steps, backend_name, origin, engine)
        announce(folder, settings, data, max_steps, state, origin, engine, table)
        _announce_evaluation(folder, settings, then)

    batches = batches_of(examples, mixture, settings.data, settings.batch.size, settings.seed, state.step, max_steps,
                         ranks.rank, ranks.world_size, engine.accumulation, choices)
    save_best, save_snapshot = _model_savers(engine, settings, data, max_steps, state, table)
    advice = collapse_advice(settings.optimizer, settings.schedule, settings.robust,
                             random_weights=settings.model.random is not None,
                             hidden_size=site_model.model.config.hidden_size)
    dynamics = Dynamics(engine, settings, data, folder, state.step)
    progress = Progress(max_steps, state.step, settings.logging.every_steps, active=ranks.is_main)
    with MetricsLog(folder, active=ranks.is_main, resume_from=state.step) as metrics, progress:
        watcher = Watcher(
            engine, state, max_steps, settings.robust, settings.evaluation, settings.logging.every_steps,
            evaluation_interval(settings, max_steps), dev, data.select_on,
            {name: data.manifests[task].metrics for name, task in data.dev_task.items()}, data.manifest.metric,
            metrics, Saver(store, settings.checkpoint, max_steps, ranks),
            nonfinite_check(settings.engine, settings.logging, settings.robust),
            CollapseCheck(max_steps, settings.schedule.warmup_ratio, settings.evaluation.on_collapse, advice),
            save_best, dynamics, progress, save_snapshot)
        try:
            run_steps(engine, settings, batches, state, max_steps, backend, watcher)
        except (Collapsed, NonFinite) as error:  # on every rank at once: all see the same numbers
            return _give_up(error, folder, settings, state, engine, data, mixture, save_best)
        except Preempted as error:
            _log.info("%s", error)
            engine.close()
            return EXIT_REQUEUE
    if ranks.is_main:
        dynamics.finish(state.step)
        mark_done(folder, state, outcome(settings, state, data, mixture, max_steps), advice, settings.checkpoint)
    barrier(ranks)
    engine.close()
    return 0


def _announce_evaluation(folder: Path, recipe: Recipe, then: str) -> None:
    """Warn where an evaluation follows that gives no scores."""
    if then != NOTHING and (line := without_scores(folder, read_record(folder), Path(recipe.data.shards))):
        _log.warning("%s", line)


def _give_up(error: Collapsed | NonFinite, folder: Path, recipe: Recipe, state: TrainState, engine: Engine,
             data: TrainingData, mixture: Mixture | None, save_best: Callable[[], None]) -> int:
    """End a failed run; it keeps a model and a record, to be evaluated as a failed seed. Returns the exit code."""
    if not state.selected:  # nothing could be chosen yet; what there is, is the last step
        state.selected = {"cell": data.select_on, "metric": data.manifest.metric, "value": None, "step": state.step}
        save_best()
    if engine.ranks.is_main:
        mark_failed(folder, error, outcome(recipe, state, data, mixture, count_steps(recipe, data)))
    _log.error("%s", error)
    engine.close()
    return EXIT_STOPPED


def count_steps(recipe: Recipe, data: TrainingData) -> int:
    """Length of the run in steps; raises InputError if the training cells do not fill one batch."""
    per_epoch = steps_per_epoch(sum(len(cell) for cell in data.train), recipe.batch.size)
    if recipe.schedule.max_steps is not None:
        return recipe.schedule.max_steps
    return math.ceil(per_epoch * (recipe.schedule.epochs or 0))


def training_examples(recipe: Recipe, data: TrainingData) -> dict[str, Examples]:
    """The training cells of each task as one data set; kinds that mask do so anew in every epoch."""
    masking = Masking(recipe.data.mask_ratio, recipe.seed)
    number = {cell.path: at for at, cell in enumerate(data.train)}
    return {task: Examples(cells, data.max_length, recipe.data.pad_to, masking, data.name_in_batches(task),
                           [number[cell.path] for cell in cells]) for task, cells in data.tasks.items()}


def dev_examples(recipe: Recipe, data: TrainingData) -> dict[str, Examples]:
    """The dev cells by name; the same masks in every run, so that perplexities compare over seeds."""
    masking = Masking(recipe.data.mask_ratio, 0)
    return {name: Examples([cell], data.max_length, masking=masking, task=data.name_in_batches(data.dev_task[name]))
            for name, cell in data.dev.items()}


def _partner_choices(recipe: Recipe, data: TrainingData) -> dict[str, Choice]:
    """The choice of mixup partners by task; empty for methods that mix nothing."""
    partners = recipe.robust.partner_source
    return {task: partner_choice(partners, cells, recipe.seed)
            for task, cells in data.tasks.items() if partners is not None}


def _build(recipe: Recipe, data: TrainingData, ranks: Ranks) -> tuple[SiteModel, WholeTable | None, dict[str, Any]]:
    """(the run's model with a head for each task; its whole word table, if that is trimmed; origin of its weights)."""
    models, origin = build_models(recipe, data.manifests, data.max_length)
    of_tasks = {data.name_in_batches(task): (model, KINDS[data.manifests[task].kind]) for task, model in models.items()}
    task, (first, kind) = next(iter(of_tasks.items()))
    cells = [*data.train, *data.dev.values()]
    check_languages(first.config, (cell.manifest.language for cell in cells))
    words = tokens_to_train(cells, recipe.engine.trim_vocabulary)
    table = None if words is None else trim_vocabulary(list(models.values()), words, saves=ranks.is_main)
    others = {name: of_task for name, of_task in of_tasks.items() if name != task}
    return SiteModel(first, kind, site_of(recipe.robust), task, others), table, origin


def _model_savers(engine: Engine, recipe: Recipe, data: TrainingData, max_steps: int,
                  state: TrainState, table: WholeTable | None) -> tuple[Callable[[], None], Callable[[int], None]]:
    """(save the best model, take a snapshot after an evaluation) of a run that goes on from `state`."""
    folder = run_dir.run_dir_of(recipe)
    tokenizer = tokenizer_dir(recipe.data.shards, data.manifest.tokenizer.fingerprint)
    write = partial(_save_model, engine, data.task, state, table)
    snapshots = Snapshots(folder, recipe, max_steps, state.step, partial(write, None), engine.ranks.is_main)
    return partial(write, tokenizer, folder / run_dir.BEST), snapshots.save


def _save_model(engine: Engine, task: str, state: TrainState, table: WholeTable | None, tokenizer: Path | None,
                folder: Path) -> None:
    """Write the model of `task` as it is now, and the heads of the others, to `folder`; every rank must call it."""
    models = {name: model for name, (model, _) in engine.module.tasks.items()}
    model = models.pop(task) if task in models else models.pop("")
    weights = engine.full_state(model)
    heads = {name: (other, engine.full_state(other, own_keys(other))) for name, other in models.items()}
    if engine.ranks.is_main:
        if table is not None:
            table.put_back(weights, state.decay)
        write_transformers_folder(model, weights, tokenizer, folder, heads)


def determined_by(
    recipe: Recipe, data: TrainingData, max_steps: int, kernels: str, config: Any, origin: Mapping[str, Any],
) -> dict[str, Any]:
    """Settings that determine a run on `data` (see `trainer.runs.identity`)."""
    chosen, kinds = data.select_on, {task: KINDS[manifest.kind] for task, manifest in data.manifests.items()}
    family = "" if config.model_type == RANDOM.model_type else config.model_type
    described = {task: FAMILIES[config.model_type].describe(config, kind.head) for task, kind in kinds.items()}
    dropout, configuration = next(iter(described.values()))
    head_rows = {task: of_head["head_rows"] for task, of_head in
                 [("", origin), *origin.get("heads", {}).items()] if "head_rows" in of_head}
    return determining_settings(
        recipe, train={cell_name(cell.path): cell.manifest.rows_sha256 for cell in data.train},
        selection=(chosen, data.dev[chosen].manifest.rows_sha256) if chosen else None, max_length=data.max_length,
        masks_tokens=any(kind.mask is not None for kind in kinds.values()), dropout=dropout,
        configuration=configuration if len(kinds) == 1 else {task: found for task, (_, found) in described.items()},
        mixture=len(kinds) > 1, max_steps=max_steps,
        kernels=kernels, weights=Path(config.name_or_path) if recipe.model.name is not None else None,
        family=family, head_rows=head_rows)


def _write_record(folder: Path, recipe: Recipe, data: TrainingData, mixture: Mixture | None, max_steps: int,
                  kernels: str, origin: dict[str, Any], engine: Engine) -> None:
    """Write run.json as it stands at the start of training."""
    determined = determined_by(recipe, data, max_steps, kernels, engine.module.model.config, origin)
    manifest = data.manifest
    of_mixture = {} if mixture is None else {"best_task": data.task, "tasks": mixture.describe(data, recipe.mixture)}
    update_record(folder, **{
        "status": "running",
        "name": recipe.name, "label": recipe.label, "seed": recipe.seed, "method": recipe.robust.method,
        "task": manifest.task, "kind": manifest.kind, "labels": manifest.labels, "metric": manifest.metric,
        **of_mixture, "train_cells": [str(cell.path) for cell in data.train],
        "rows_sha256": data.rows_sha256,
        "train_languages": sorted({cell.manifest.language for cell in data.train}),
        "dev_cells": {name: {"rows_sha256": cell.manifest.rows_sha256, "chance": majority_share(cell),
                             **({"task": data.dev_task[name]} if mixture is not None else {})}
                      for name, cell in data.dev.items()},
        "max_length": data.max_length, "mask_ratio": recipe.data.mask_ratio,
        "tokenizer": manifest.tokenizer.model_dump(), "shards_root": recipe.data.shards, "max_steps": max_steps,
        "world_size": engine.ranks.world_size, "zero_stage": engine.stage, "device": str(engine.device),
        "precision": recipe.engine.precision, "kernels": kernels, "weights_from": origin,
        "suite": recipe.evaluation.suite,
        "shards_path": os.path.abspath(recipe.data.shards),
        "started_in": os.path.relpath(os.getcwd(), os.path.abspath(folder)),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "settings": determined, "recipe_digest": recipe_digest(determined), "origin_run": origin_run(recipe),
    })
