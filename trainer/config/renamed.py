"""Old names of recipe keys: accepted for one release, in YAML files and as dotted overrides, with one warning."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from data_prep.base.errors import InputError
from trainer.robust import METHODS
from trainer.settings import RENAMED

# Settings whose null meant the default of the method.
NULLS = ("ascent_steps", "start", "start_radius")

# One setting each of four methods: together they are in no recipe but the `config.yaml` of an earlier release, which
# held the settings of all methods, and null for a default that followed from the method.
OF_FOUR_METHODS = {"restarts", "bregman_momentum", "mixing_alpha", "draws"}


def rename_keys(tree: dict[str, Any], source: str) -> set[str]:
    """Replace old keys of `tree`, in place; return those that were found.

    From the `config.yaml` of an earlier release, the settings of other methods are dropped as well.
    Raises InputError where a key is given under both names; `source` says where.
    """
    found = set()
    for old, new in RENAMED.items():
        name, leaf = old.split(".")
        section = tree.get(name)
        if not isinstance(section, dict) or leaf not in section:
            continue
        _refuse_both(old, [f"{name}.{key}" for key in section], source)
        section[new.split(".")[1]] = section.pop(leaf)
        found.add(old)
    robust = tree.get("robust")
    if isinstance(robust, dict) and robust.keys() >= OF_FOUR_METHODS and robust.get("method") in METHODS:
        own = METHODS[robust["method"]].settings.model_fields
        tree["robust"] = {key: value for key, value in robust.items() if key in own and value is not None}
    elif isinstance(robust, dict):
        tree["robust"] = {key: value for key, value in robust.items() if key not in NULLS or value is not None}
    return found


def rename_overrides(overrides: Mapping[str, str]) -> tuple[dict[str, str], set[str]]:
    """(`overrides` under the new keys, the old keys among them). Raises InputError where both names are given."""
    old = overrides.keys() & RENAMED.keys()
    for key in sorted(old):
        _refuse_both(key, overrides, "command line")
    return {RENAMED.get(key, key): value for key, value in overrides.items()}, set(old)


def warning(old: Collection[str]) -> str:
    """The line that names each old key and its new name."""
    pairs = ", ".join(f"{key} is now {RENAMED[key]}" for key in sorted(old))
    return f"warning: renamed recipe keys: {pairs}; the old names will be refused by the next release"


def _refuse_both(old: str, given: Collection[str], source: str) -> None:
    if RENAMED[old] in given:
        raise InputError(f"{source}: {old} is the old name of {RENAMED[old]}, found both; remove {old}")
