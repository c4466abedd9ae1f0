"""`python -m trainer train RECIPE [--dotted.key=value]`: train one run.

Input: a recipe. Output: `runs/<name>/` (see `trainer/runs/folder.py`). The same command resumes a partial run and
leaves a finished one as it is. Torch and DeepSpeed are imported for a run that has something to do.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

from data_prep.base.command_table import Keys, importing
from data_prep.base.errors import InputError, did_you_mean
from data_prep.base.lock import held
from trainer.checkpoint.layout import remove_checkpoints
from trainer.config import load_recipe
from trainer.distributed.preemption import STOP_SIGNALS, failures_in_a_line
from trainer.distributed.ranks import find_ranks, is_first_process
from trainer.runs import folder as run_dir
from trainer.runs.again import going_on, named_run
from trainer.runs.log import run_log
from trainer.runs.next_command import evaluate_command
from trainer.runs.record import read_record
from trainer.runs.then import FOLLOW_UPS, NOTHING, run_command

_log = logging.getLogger(__name__)


def train(
    recipe: str, *, name: str | None = None, label: str | None = None, seed: int | None = None,
    output: str | None = None, init_from: str | None = None, kernels: str | None = None, method: str | None = None,
    then: str = "nothing", **overrides: Annotated[str, Keys("trainer.config.load:nearest_keys")],
) -> int:
    """Train one run from a RECIPE (a YAML file, or the name of one that ships), and keep its best checkpoint.

    The folder of a run in place of a recipe goes on with that run, from any working directory. Flags replace what the
    recipe says; any of its other keys is set by its dotted name: --optimizer.lr=1e-5 --robust.epsilon=0.2.
    `python -m trainer recipes` lists the recipes, `python -m trainer keys` the keys with their defaults.

    name: of the run's folder; without one, the recipe's file, what flags change of it, and the seed.
    label: name of this kind of run in reports, shared by runs that differ in their seed alone.
    seed: of weights, order of the data, dropout and noise.
    output: folder that holds the runs.
    init_from: folder of a finished run to take the encoder from, in place of `model.name` or `model.random`.
    kernels: backend of the perturbation kernels: auto, reference, cpu or triton.
    method: train with this robust method instead, which takes of the settings in `robust` those that it has.
    then: `evaluate` predicts on the recipe's test cells when training is done (see `evaluation.suite`).
    """
    if then not in FOLLOW_UPS:
        raise InputError(f"--then takes {' or '.join(FOLLOW_UPS)}, found {then!r}{did_you_mean(then, FOLLOW_UPS)}")
    top = {"name": name, "label": label, "seed": seed, "output": output, "init_from": init_from, "kernels": kernels,
           "method": method}
    given = {**{key: str(value) for key, value in top.items() if value is not None}, **overrides}
    if (run := named_run(recipe)) is not None:
        with going_on(run, given) as (config, kept):
            return _train(config, kept, then)
    return _train(recipe, given, then)


def _train(recipe: str, overrides: dict[str, str], then: str) -> int:
    """Train the run that `recipe` becomes with `overrides`, then do what `then` says; returns the exit code."""
    settings = load_recipe(recipe, overrides, announce=is_first_process())
    if "name" not in overrides:
        settings = run_dir.as_begun(settings, recipe)
    ranks = find_ranks()
    with run_log(ranks.is_main) as log:
        folder = run_dir.run_dir_of(settings)
        if run_dir.inspect(settings) == "done":
            _log.info("%s is done; nothing to do%s", folder, f" but to {then}" if then != NOTHING else "")
            if ranks.is_main and not settings.checkpoint.keep_when_done:
                remove_checkpoints(folder)  # left by a kill between done.json and their removal
            code = 0
        else:
            with importing():
                from trainer.training import train_once
            lock = held(folder, "train") if ranks.is_main else nullcontext()
            with lock, STOP_SIGNALS, failures_in_a_line(ranks.world_size, settings.engine.timeout_seconds):
                code = train_once(settings, ranks, log, then)
        record = read_record(folder)
        if code or record is None or not ranks.is_main:
            return code
        command = evaluate_command(folder, record, Path(settings.data.shards))
        _log.info("%s: %s", "next" if then == NOTHING else "then", command)
    return 0 if then == NOTHING else run_command(command)
