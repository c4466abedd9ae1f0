"""The settings that determine a run but the seed, by content: runs that share them differ in the luck of training only.

Inputs: the merged recipe, the open cells, the model's origin. Output: a flat dict, dotted name -> plain value, for
`run.json`, and from there for every result row.

Not part of it: the seed; names, labels and paths (data and weights count by the hash of their content); what changes
only where or how a run executes (`NOT_PART`). Ranks, micro-batch and ZeRO stage are not part of it either: without
dropout they change rounding only, and with dropout they draw other masks from the same distribution, as another seed
does. Precision and kernels are part of it: they change the arithmetic of every step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache

from data_prep.shards import Cell, file_sha256
from trainer.config.schema import Recipe
from trainer.data.loader import TrainingData, cell_name
from trainer.evaluate.rows import recipe_digest
from trainer.radius import counts_for_selection
from trainer.run_dir import BEST, RECORD
from trainer.telemetry.record import read_json

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PREFIX = 16  # hex digits kept of a hash within the settings

# Sections (with a dot at the end) and settings that determine nothing, or stand among the settings in another form.
NOT_PART = (
    "name", "label", "output", "seed", "logging.", "checkpoint.",
    "data.workers", "data.verify", "batch.micro_size", "evaluation.batch_size", "evaluation.on_collapse",
    "engine.config", "engine.timeout_seconds", "engine.skips_allowed", "model.gradient_checkpointing",
    "data.shards", "data.dev", "data.select_on",  # as data.rows, selection.cell and selection.rows
    "model.name", "model.random", "init_from",  # as model.origin
    "schedule.epochs",  # as schedule.updates
)


def evaluation_interval(recipe: Recipe, updates: int) -> int:
    """Updates between evaluations of the dev cells."""
    return recipe.evaluation.every or max(1, updates // 10)


def determining_settings(
    recipe: Recipe, data: TrainingData, updates: int, kernels: str, dropout: float,
) -> dict[str, bool | int | float | str | None]:
    """What the numbers of this run depend on but the seed; all defaults resolved.

    updates: the length of the run. kernels: the backend that was found. dropout: of the model as built. Reads the
    origin's weights to hash them (seconds for XLM-R large), or, of `init_from`, that run's record.
    """
    settings = {name: value for name, value in _flat(recipe.model_dump(mode="json"))
                if not any(name == part or (part.endswith(".") and name.startswith(part)) for part in NOT_PART)}
    every = evaluation_interval(recipe, updates)
    evaluated = sorted({*range(every, updates + 1, every), updates})
    settings |= {
        "data.train": ", ".join(sorted(cell_name(cell.path) for cell in data.train)),
        "data.rows": _rows_of(data.train), "data.max_length": data.max_length, "schedule.updates": updates,
        "evaluation.every": every, "selection.cell": data.select_on or "",
        "selection.rows": _rows_of([data.dev[data.select_on]]) if data.select_on else "",
        "selection.evaluations": sum(counts_for_selection(recipe.robust, step / updates) for step in evaluated),
        "selection.window": 1.0 if recipe.robust.method == "plain" else 1.0 - recipe.robust.ramp_end,
        "model.origin": _origin(recipe), "model.dropout": dropout, "kernels": kernels,
    }
    if recipe.robust.method == "plain":  # has neither a ball nor kernels
        unused = [name for name in settings if name.startswith("robust.") and name != "robust.method"]
        settings = {name: value for name, value in settings.items() if name not in (*unused, "kernels")}
    return settings


def rows_sha256(cell: Cell) -> str:
    """Hash (hex) of the content of a cell's rows."""
    return cell.manifest.rows_sha256


def majority_share(cell: Cell) -> float | None:
    """Accuracy of always naming the cell's most frequent class, among its labelled rows; None without labels."""
    counts = cell.manifest.label_counts.values()
    return max(counts) / sum(counts) if sum(counts) else None


def _rows_of(cells: list[Cell]) -> str:
    found = "".join(sorted(rows_sha256(cell) for cell in cells))
    return hashlib.sha256(found.encode()).hexdigest()[:PREFIX]


def _origin(recipe: Recipe) -> str:
    """The model's origin by content.

    An earlier run counts by its own recipe, not by its weights: seed s of a chain starts from seed s of the stage
    before, and all these chains are one recipe.
    """
    if recipe.init_from is not None:
        record = read_json(Path(recipe.init_from) / RECORD)
        known = record.get("settings")
        if isinstance(known, dict) and known:
            return f"recipe {recipe_digest(known)}"
        return f"weights {_weights_sha256(Path(recipe.init_from) / BEST)}"
    if recipe.model.name is not None:
        folder = Path(recipe.model.name)
        if not folder.is_dir():
            found = [try_to_load_from_cache(recipe.model.name, name) for name in WEIGHTS]
            kept = [Path(path) for path in found if isinstance(path, str)]
            if not kept:
                return recipe.model.name
            folder = kept[0].parent
        return f"weights {_weights_sha256(folder)}"
    return f"random {recipe.model.random}"


def _weights_sha256(folder: Path) -> str:
    files = sorted(folder.glob("*.safetensors"))
    return hashlib.sha256("".join(file_sha256(file) for file in files).encode()).hexdigest()[:PREFIX]


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", ", ".join(map(str, value)) if isinstance(value, list) else value
