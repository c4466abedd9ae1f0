"""Effects of a command line on a recipe beyond the keys it names: settings that it replaces, and the run's name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from data_prep.base.errors import InputError
from trainer.settings import FREE_SETTINGS

# Of each group a recipe has one; beside each, the settings of the others that make no sense with it.
ALTERNATIVES: tuple[Mapping[str, tuple[str, ...]], ...] = (
    {"model.name": ("model.family",), "model.random": ("model.revision", "model.head_seed"),
     "init_from": ("model.revision", "model.family")},
    {"schedule.max_steps": (), "schedule.epochs": ()},
)
# Not in names, beside FREE_SETTINGS: what has a word of its own there, and what changes rounding at most.
NAMELESS = {"name", "label", "output", "seed", "engine.config", "evaluation.batch_size", "evaluation.on_collapse",
            *(".".join(path) for path in FREE_SETTINGS)}
WORDS = {"model.name": "", "robust.method": "", "init_from": "from"}
FOLDERS = ("model.name", "init_from")
LONGEST_NAME = 120


def drop_replaced(tree: dict[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Drop from `tree`, in place, what the keys `given` on the command line replace; a line on each.

    given: dotted key -> value. Raises InputError where two of them exclude each other.
    """
    lines = []
    for group in ALTERNATIVES:
        chosen = [key for key in group if given.get(key) is not None]
        if len(chosen) > 1:
            raise InputError(f"{' and '.join(f'--{key}' for key in chosen)} exclude each other: give only one of them")
        if not chosen:
            continue
        dropped = [f"{key} {value}" for key in (*group, *group[chosen[0]]) if key not in given
                   if (value := _pop(tree, key)) is not None]
        if dropped:
            lines.append(f"--{chosen[0]} {given[chosen[0]]} replaces {', '.join(dropped)} of the recipe")
    return lines


def run_name(stem: str, seed: int, overridden: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    """`<stem>-<what was overridden>-seed<seed>`; without the middle where the recipe is as in its file.

    overridden: values, by key, that the command line named. before: all values of the file alone, None where it is no
    whole recipe. A change that only concerns how a run executes is not in its name, so that it resumes under it.
    """
    words = [_word(key, value) for key, value in overridden.items()
             if key not in NAMELESS and not any(key.startswith(f"{free}.") for free in NAMELESS)
             and (before is None or before.get(key) != value)]
    name = "-".join([stem, *words, f"seed{seed}"])
    if len(name) > LONGEST_NAME and words:
        name = f"{stem}-{hashlib.sha256('-'.join(words).encode()).hexdigest()[:8]}-seed{seed}"
    return name


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of a dumped recipe; mappings that are values are whole only in their parts."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _word(key: str, value: Any) -> str:
    """`epsilon_0.2`, `fused`, `no_fused`, `train_mnli_train_en+snli_train_en`."""
    name = WORDS.get(key, key.rpartition(".")[2])
    if isinstance(value, bool):
        return name if value else f"no_{name}"
    parts = [str(part) for part in (value if isinstance(value, list) else [value])]
    if key in FOLDERS:
        parts = [part.rstrip("/").rpartition("/")[2] for part in parts]
    if isinstance(value, float):
        parts = [re.sub(r"e([+-])0*", r"e\1", f"{value!r}".removesuffix(".0"))]
    text = "+".join(re.sub(r"[^A-Za-z0-9._+-]+", "_", part).strip("_.") for part in parts)
    return "_".join(filter(None, (name, "null" if value is None else text)))


def _pop(tree: dict[str, Any], key: str) -> Any:
    *sections, leaf = key.split(".")
    for section in sections:
        tree = tree.get(section) or {}
        if not isinstance(tree, dict):
            return None
    return tree.pop(leaf, None)
