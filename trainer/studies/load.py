"""Read a study: its file, one of the sizes in it, and what the command line sets.

Input: a path, or the name of a study that ships; a size. Output: a `Study`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from data_prep.base.errors import InputError, did_you_mean
from data_prep.base.files import first_error
from trainer.config.load import known_keys, read_yaml
from trainer.studies.schema import Study

FOLDER = Path(__file__).parent
SIZES = "sizes"
FLAGS = ("size", "out", "seeds")  # of `trainer study` itself
INCLUDE = "include"  # key of a size: a file in `sizes/` with what all studies of that size share


def shipped() -> dict[str, Path]:
    """Studies that ship, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def find_study(source: str) -> Path:
    """Path of the study `source`. Raises InputError if there is none."""
    if Path(source).is_file():
        return Path(source)
    known = shipped()
    if source in known:
        return known[source]
    raise InputError(f"no study {source!r}{did_you_mean(source, known)}; give the path of a YAML file, or one of: "
                     f"{', '.join(known)}")


def load_study(path: Path, size: str, given: Mapping[str, str] = {}, seeds: Sequence[int] | None = None) -> Study:
    """Load the study at `path` at `size`.

    given: parameter -> value; or `levels.FACTOR` -> comma list of levels. seeds: instead of those of the file.
    Raises InputError for an unknown size or key, a parameter that must be given and is not, and an invalid file.
    """
    tree = read_yaml(path)
    sizes = tree.pop(SIZES, None)
    if not isinstance(sizes, dict) or not all(isinstance(part, dict) for part in sizes.values()):
        raise InputError(f"{path}: expected `{SIZES}`, a mapping from names of sizes to what they change")
    if size not in sizes:
        known = list(map(str, sizes))
        raise InputError(f"{path.stem} has no size {size!r}{did_you_mean(size, known)}; sizes: {', '.join(known)}")
    changes = sizes[size]
    shared = changes.pop(INCLUDE, None)
    for part in ({} if shared is None else read_yaml(_shared_file(path, str(shared))), changes):
        tree = _merged(tree, part)
    if seeds is not None:
        tree["seeds"] = list(seeds)
    for key, value in given.items():
        _set(tree, key, value, path.stem)
    try:
        study = Study.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{path}, size {size}: {_explain(error)}") from None
    if missing := [name for name, value in study.parameters.items() if value is None]:
        raise InputError(f"{path.stem} at size {size} needs {', '.join(f'--{name}' for name in missing)}")
    # Commands resume from any working directory, and what a training began with is compared with its recipe as text.
    places = {name: os.path.abspath(value) for name, value in study.parameters.items()
              if value is not None and (os.sep in value or value in (".", "..")) and os.path.exists(value)}
    return study.model_copy(update={"parameters": study.parameters | places})


def _shared_file(study: Path, name: str) -> Path:
    for folder in (study.parent, FOLDER):
        if (file := folder / SIZES / f"{name}.yaml").is_file():
            return file
    raise InputError(f"{study}: include: no {SIZES}/{name}.yaml beside it, nor among the shipped ones")


def read_snapshot(path: Path) -> Study:
    """The study that `write_snapshot` has written. Raises InputError where it cannot be read."""
    try:
        return Study.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = first_error(error) if isinstance(error, ValidationError) else str(error).split("\n")[0]
        raise InputError(f"{path} cannot be read as a study: {reason}") from None


def dump(study: Study) -> str:
    """YAML of `study` with every default written out."""
    return yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def _explain(error: ValidationError) -> str:
    """The first problem on one line, with the nearest known key where a key is unknown."""
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    if first["type"] != "extra_forbidden":
        return first_error(error, quote=first["type"] != "value_error").replace("Value error, ", "")
    key = ".".join(map(str, first["loc"]))
    known = {name.rpartition(".")[2] for name in known_keys(Study)}
    close = get_close_matches(str(first["loc"][-1]), known, n=1)
    return f"unknown key {key!r}{f', did you mean {close[0]!r}?' if close else ''}"


def _merged(tree: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`tree` with `changes` on top: mappings are merged, null removes a key of a mapping, all else is replaced."""
    result = dict(tree)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _merged(result[key], value)
        elif value is None and key in result and key not in ("average", "seed"):
            del result[key]
        else:
            result[key] = value
    return result


def _set(tree: dict[str, Any], key: str, value: str, name: str) -> None:
    """Apply one flag of the command line."""
    section, _, factor = key.partition(".")
    if section == "levels" and factor in tree.get("factors", {}):
        tree.setdefault("levels", {})[factor] = [level.strip() for level in value.split(",") if level.strip()]
        return
    parameters = tree.get("parameters") or {}
    if key not in parameters:
        known = [*parameters, *(f"levels.{factor}" for factor in tree.get("factors", {}))]
        close = get_close_matches(key, [*known, *FLAGS], n=1)
        raise InputError(f"study {name} has no --{key}{f', did you mean --{close[0]}?' if close else ''}; its flags: "
                         f"{', '.join(f'--{one}' for one in known) or 'none'}")
    parameters[key] = value
