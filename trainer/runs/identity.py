"""Settings that determine a run except the seed, by content: runs that share them differ by chance only.

Inputs: the merged recipe, hashes of the cells' rows, the model's origin. Output: a flat dict, dotted name -> plain
value, for `run.json`, and from there for every result row.

Excluded: the seed; names, labels and paths (data and weights enter as hashes of their content); settings of how and
where a run executes (`NOT_PART`). Ranks, micro-batch and ZeRO stage are excluded too: without dropout they change
rounding only, and with dropout they draw other masks from the same distribution, as another seed does. Precision and
kernels are included: they change the arithmetic of every step. Settings of another optimiser or kind of task than the
run's are excluded; of the method, those that take effect are included, with derived defaults filled in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.base.files import file_sha256
from data_prep.shards.read import Cell
from trainer.config.schema import Recipe
from trainer.results.scores import recipe_digest
from trainer.robust.schedule import counts_for_selection, selection_starts
from trainer.robust.settings import BallSettings
from trainer.runs.folder import BEST, WEIGHTS
from trainer.runs.record import read_record

LONGEST_NAMES = 10_000  # characters of cell names kept, as result rows allow; the rows count by hash
PREFIX = 16  # hex digits kept of a hash within the settings

# Sections (with a dot at the end) and settings that are excluded, or included in another form.
NOT_PART = (
    "name", "label", "output", "seed", "logging.", "checkpoint.",
    "data.workers", "data.verify", "batch.micro_batch_size", "evaluation.batch_size", "evaluation.on_collapse",
    "evaluation.suite",
    "engine.config", "engine.timeout_seconds", "engine.trim_vocabulary", "engine.compile",
    "engine.max_nonfinite_steps", "model.gradient_checkpointing",
    "robust.",  # resolved
    "mixture.",  # of a run of several tasks only
    "data.shards", "data.dev", "data.select_on",  # as data.rows, selection.cell and selection.rows
    "model.name", "model.revision", "model.random", "model.family", "init_from",  # as model.origin
    "schedule.epochs",  # as schedule.max_steps
)


OF_ADAMW = ("beta1", "beta2", "eps", "fused")


def evaluation_interval(recipe: Recipe, max_steps: int) -> int:
    """Steps between evaluations of the dev cells."""
    return recipe.evaluation.every_steps or max(1, max_steps // 10)


def evaluations_to_choose_from(recipe: Recipe, max_steps: int, done: int) -> int:
    """Number of evaluations among the first `done` of `max_steps` steps that may select the checkpoint."""
    every = evaluation_interval(recipe, max_steps)
    return sum(counts_for_selection(recipe.robust, step / max_steps)
               for step in evaluated_steps(every, max_steps, done))


def evaluated_steps(every: int, max_steps: int, done: int) -> list[int]:
    """Steps among the first `done` after which dev cells are evaluated, ascending; the last of the run is one."""
    return sorted({*range(every, done + 1, every), *([max_steps] if done == max_steps else [])})


def determining_settings(
    recipe: Recipe, *, train: Mapping[str, str], selection: tuple[str, str] | None, max_length: int,
    masks_tokens: bool, dropout: float, configuration: Mapping[str, Any], max_steps: int, kernels: str,
    weights: Path | None = None, family: str = "", head_rows: Mapping[str, Sequence[int]] | None = None,
    mixture: bool = False,
) -> dict[str, bool | int | float | str | None]:
    """Settings that the results of this run depend on, except the seed; all defaults resolved.

    train: hash of the rows of each training cell by name. selection: name and hash of the rows of the dev cell that
    picks the checkpoint. masks_tokens: whether training masks tokens. dropout: rate of the model's hidden states.
    configuration: settings of the model as built that shape its outputs or new weights, and its other dropout rates.
    max_steps: the length of the run. kernels: the backend that was found. weights: folder that `model.name` led to,
    whose weights are hashed (seconds for XLM-R large). Of `init_from`, that run's record is read. family: architecture
    of random weights, unless it is the default one. head_rows: by task ("" is the first), for each label, the row of a
    finished classifier that it was given; equal weights under other class names are another start. mixture: whether the
    run has several tasks.
    """
    cell, rows = selection or ("", "")
    settings = {name: value for name, value in _flat(recipe.model_dump(mode="json"))
                if not any(name == part or (part.endswith(".") and name.startswith(part)) for part in NOT_PART)}
    settings |= {f"robust.{name}": value for name, value in recipe.robust.resolved().items()}
    settings |= {
        "data.train": ", ".join(sorted(train))[:LONGEST_NAMES], "data.rows": _rows_of(train.values()),
        "data.max_length": max_length,
        "schedule.max_steps": max_steps, "evaluation.every_steps": evaluation_interval(recipe, max_steps),
        "selection.cell": cell, "selection.rows": _rows_of([rows]) if rows else "",
        "selection.evaluations": evaluations_to_choose_from(recipe, max_steps, max_steps),
        "selection.window": 1.0 - selection_starts(recipe.robust),
        "model.origin": _origin(recipe, weights, family), "model.dropout": dropout,
        "model.config": hashlib.sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()[:PREFIX],
    }
    if head_rows:
        settings["model.head"] = "; ".join(
            f"{task} rows {', '.join(map(str, rows))}".lstrip() for task, rows in head_rows.items())[:LONGEST_NAMES]
    if mixture:
        settings |= {f"mixture.{name}": _listed(value) for name, value in recipe.mixture.model_dump().items()}
        settings["mixture.sampling"] = recipe.mixture.sampling or "proportional"
    if isinstance(recipe.robust, BallSettings):
        settings["kernels"] = kernels
    else:  # kernels compute perturbations in a ball
        del settings["kernels"]
    for name in OF_ADAMW if recipe.optimizer.name != "adamw" else ():
        del settings[f"optimizer.{name}"]
    if recipe.model.head_seed is None:  # in no record of earlier versions
        del settings["model.head_seed"]
    if not masks_tokens:
        del settings["data.mask_ratio"]
    return settings


def origin_run(recipe: Recipe) -> str:
    """Hash of the weights that the run takes from an earlier run; empty without one."""
    return _weights_sha256(Path(recipe.init_from) / BEST) if recipe.init_from is not None else ""


def majority_share(cell: Cell) -> float | None:
    """Accuracy of the majority class on the cell's labelled rows; None without labels."""
    counts = cell.manifest.label_counts.values()
    return max(counts) / sum(counts) if sum(counts) else None


def _listed(value: Any) -> Any:
    """A setting of a mixture as a plain value; nothing for an empty one."""
    return (", ".join(f"{task} {value[task]}" for task in sorted(value)) or None) if isinstance(value, dict) else value


def _rows_of(hashes: Iterable[str]) -> str:
    return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()[:PREFIX]


def _origin(recipe: Recipe, weights: Path | None, family: str) -> str:
    """Origin of the model by content.

    An earlier run enters as its recipe, not its weights: in a chain, seed s starts from seed s of the stage before, and
    the chains of all seeds share one recipe.
    """
    if recipe.init_from is not None:
        record = read_record(Path(recipe.init_from))
        if record is not None and record.settings:
            return f"recipe {recipe_digest(record.settings)}"
        return f"weights {_weights_sha256(Path(recipe.init_from) / BEST)}"
    if recipe.model.name is not None:
        return f"weights {_weights_sha256(weights or Path(recipe.model.name))}"
    return " ".join(filter(None, ("random", family, recipe.model.random)))


def _weights_sha256(folder: Path) -> str:
    single = folder / WEIGHTS  # of which transformers takes no notice of others
    files = [single] if single.is_file() else sorted(folder.glob("*.safetensors"))
    return hashlib.sha256("".join(file_sha256(file) for file in files).encode()).hexdigest()[:PREFIX]


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", ", ".join(map(str, value)) if isinstance(value, list) else value
