"""Run folder, `runs/<name>/`: new, partial or done; it never holds runs of two recipes.

    config.yaml  run.json  train.log  metrics.jsonl  tensorboard/  best/  eval/  done.json (written last)
    checkpoints/ (until it is done)
    dynamics/  dynamics.parquet  data_map.svg (with logging.dynamics)
    snapshots/ (with checkpoint.snapshots)  average/ (by trainer average)
    slurm/ (records of the jobs that were submitted for it, by slurm.submit)
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Literal

from data_prep.base.errors import InputError
from data_prep.base.files import write_text
from trainer.config import Recipe
from trainer.config.load import dump, load_recipe, read_yaml
from trainer.results import below
from trainer.settings import FREE_SETTINGS, RENAMED, Paths

CONFIG = below.CONFIG
RECORD = "run.json"
DONE = "done.json"
BEST = "best"
AVERAGE = "average"  # mean of snapshots/, a transformers folder like best/
SNAPSHOTS = "snapshots"
HEADS = "heads"  # below best/: those of the other tasks of a mixture
WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"  # of best/, and of any transformers folder
FAILED = ("collapsed", "diverged")  # a run's status where training was given up
JOBS = "slurm"


def run_dir_of(recipe: Recipe) -> Path:
    """The folder of this recipe's run."""
    return Path(recipe.output) / str(recipe.name)


def inspect(recipe: Recipe) -> Literal["new", "partial", "done"]:
    """State of the run's folder; writes nothing.

    Raises InputError where the folder holds a run of another recipe, or something that is no run.
    """
    folder = run_dir_of(recipe)
    for parent in folder.parents:
        if parent.exists() and not parent.is_dir():
            raise InputError(f"output: {parent} is a file; expected a folder for the runs")
    if not folder.exists():
        return "new"
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; expected a folder for the run, or nothing")
    config = folder / CONFIG
    if not config.exists():
        if any(path for path in folder.iterdir() if not path.name.startswith(".") and path.name != JOBS):
            raise InputError(f"{folder} exists and holds no {CONFIG}; choose another name or output")
        return "new"
    try:
        old = load_recipe(str(config), announce=False).model_dump(mode="json")
    except InputError:
        raise InputError(f"{config} cannot be read; remove {folder}, or choose another name") from None
    free = FREE_SETTINGS + ((("engine", "config"),) if recipe.checkpoint.resume == "weights" else ())
    differences = _differences(old, recipe.model_dump(mode="json"), free)
    if differences:
        raise InputError(f"{folder} holds a run with another recipe ({'; '.join(differences[:3])}); "
                         "choose another name, or remove that run")
    return "done" if (folder / DONE).exists() else "partial"


def as_begun(recipe: Recipe, source: str) -> Recipe:
    """`recipe` under the name of the run that an earlier version began of it, without what was overridden, if any.

    source: path or name of the recipe's file.
    """
    older = recipe.model_copy(update={"name": f"{Path(source).stem}-seed{recipe.seed}"})
    try:
        return older if not run_dir_of(recipe).exists() and inspect(older) != "new" else recipe
    except InputError:  # a run of another recipe
        return recipe


def create(recipe: Recipe) -> Path:
    """Make the run's folder and write its merged recipe; an existing recipe stays as it is."""
    folder = run_dir_of(recipe)
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob(f".{BEST}.old-*")):  # killed between the two renames that replace it
        if not (folder / BEST).exists():
            os.replace(old, folder / BEST)
    for left in (*folder.glob(f".{BEST}.*"), *folder.glob(".*.tmp-*")):  # of lives that were killed while they wrote
        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
    if not (folder / CONFIG).exists():
        write_text(folder / CONFIG, dump(recipe))
    return folder


def digest(recipe: Recipe) -> str:
    """Digest of all settings that shape what is learned; a checkpoint carries that of its run.

    Taken from the run's `config.yaml` where it has one, which `inspect` has compared with `recipe`: so the checkpoints
    of a run that began under other names of the keys are still its own.
    """
    config = run_dir_of(recipe) / CONFIG
    written = read_yaml(config) if config.is_file() else recipe.model_dump(mode="json")

    def shaping(value: object, path: tuple[str, ...] = ()) -> object:
        if not isinstance(value, dict):
            return value
        return {key: shaping(part, (*path, key)) for key, part in value.items()
                if _today((*path, key)) not in (*FREE_SETTINGS, ("engine", "config"))}

    return hashlib.sha256(json.dumps(shaping(written), sort_keys=True).encode()).hexdigest()[:16]


def _today(path: tuple[str, ...]) -> tuple[str, ...]:
    """`path` of a setting under the key that it has now."""
    dotted = ".".join(path)
    return tuple(RENAMED.get(dotted, dotted).split("."))


def _differences(old: object, new: object, free: Paths, path: tuple[str, ...] = ()) -> list[str]:
    if path in free:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        return [line for key in {**old, **new} for line in _differences(old.get(key), new.get(key), free, (*path, key))]
    return [] if old == new else [f"{'.'.join(path)}: {old!r} there, {new!r} here"]
