"""Recipe loading: defaults, then a YAML file, then dotted overrides; an error is one line and exit code 2.

Input: a path, or the name of a recipe that ships in `trainer/config/recipes/`. Output: a `Recipe`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from data_prep.base.errors import InputError, did_you_mean
from trainer.config import plain_yaml, renamed
from trainer.config.overrides import drop_replaced, flat, run_name
from trainer.config.schema import Recipe
from trainer.robust import DEFAULT_METHOD, METHODS, methods_with, settings_for

RECIPES = Path(__file__).parent / "recipes"
# Names that users of Hugging Face's Trainer know, by the key that comes nearest to them.
OTHER_NAMES = {
    "learning_rate": "optimizer.lr", "num_train_epochs": "schedule.epochs", "num_epochs": "schedule.epochs",
    "train_batch_size": "batch.size", "per_device_train_batch_size": "batch.micro_batch_size",
    "gradient_accumulation_steps": "batch.micro_batch_size", "per_device_eval_batch_size": "evaluation.batch_size",
    "eval_steps": "evaluation.every_steps", "logging_steps": "logging.every_steps",
    "save_steps": "checkpoint.every_steps", "save_total_limit": "checkpoint.keep",
    "early_stopping_patience": "evaluation.patience_evaluations", "warmup_steps": "schedule.warmup_ratio",
    "warmup": "schedule.warmup_ratio", "fp16": "engine.precision", "bf16": "engine.precision",
    "deepspeed": "engine.config", "output_dir": "output", "model_name_or_path": "model.name",
    "max_seq_length": "data.max_length", "updates": "schedule.max_steps",
}
Settings = TypeVar("Settings", bound=BaseModel)


def load_recipe(source: str, overrides: Mapping[str, str] | None = None, *, announce: bool = True) -> Recipe:
    """Load the recipe at `source` (a path, or the bare name of one that ships), with `overrides` on top.

    overrides: dotted key -> text, as typed (`{"robust.epsilon": "0.2", "data.train": "xnli/train/en"}`). One of them
    is no key: `method` replaces `robust.method` and drops settings that only other methods have. An origin of the model
    or a length of the run replaces that of the recipe, and what changes the recipe is in the run's name (`overrides`).
    announce: warn of keys under their old names (see `renamed`), and say what is replaced.
    Raises InputError for a missing file, broken YAML, an unknown key, or a value of the wrong kind.
    """
    path = find_recipe(source)
    given = dict(overrides or {})
    method = given.pop("method", None)
    tree = merged(path, given, announce=announce)
    if method is not None:
        if "robust.method" in given:
            raise InputError("--method and --robust.method: give only one of them")
        _set_method(tree, method)
    robust = tree.get("robust", {})
    running = robust.get("method") if isinstance(robust, dict) else None
    tree.setdefault("label", running if isinstance(running, str) and running in METHODS else DEFAULT_METHOD)
    recipe = validate(tree, path)
    if recipe.name is not None:
        return recipe
    return validate({**tree, "name": _run_name(path, recipe, given, method)}, path)


def _set_method(tree: dict[str, Any], method: str) -> None:
    robust = tree.get("robust", {})
    tree["robust"] = settings_for(method, robust) if isinstance(robust, dict) else robust


def _run_name(path: Path, recipe: Recipe, given: Mapping[str, str], method: str | None) -> str:
    """Name of the run of `recipe`, which is that of the file at `path` under the overrides `given` and `method`.

    Settings of another method than the file's are compared with what that method would take of the file.
    """
    tree = merged(path, {}, announce=False)
    own = (tree.get("robust") or {}).get("method", DEFAULT_METHOD)
    if recipe.robust.method != own:
        _set_method(tree, recipe.robust.method)
    try:
        before = dict(flat(Recipe.model_validate(tree).model_dump(mode="json"))) | {"robust.method": own}
    except ValidationError:  # no recipe without its overrides
        before = None
    named = {*renamed.rename_overrides(given)[0], "robust.method"}
    overridden = {key: value for key, value in flat(recipe.model_dump(mode="json"))
                  if any(key == name or key.startswith(f"{name}.") for name in named)}
    if before is None and recipe.robust.method == own:
        del overridden["robust.method"]
    return run_name(path.stem, recipe.seed, overridden, before)


def merged(path: Path, overrides: Mapping[str, str], *, announce: bool = True) -> dict[str, Any]:
    """The mapping in the recipe's file with `overrides` on top, keys under their present names, values unchecked."""
    tree = read_yaml(path)
    old = renamed.rename_keys(tree, str(path))
    given, old_given = renamed.rename_overrides(overrides)
    values = {dotted: _parse_value(Recipe, dotted, text) for dotted, text in given.items()}
    for dotted, value in values.items():
        _set_dotted(tree, dotted, value)
    replaced = drop_replaced(tree, values)
    old |= old_given | renamed.rename_keys(tree, "command line")  # a whole section may be given: --robust={steps: 3}
    for line in [*[renamed.warning(old)] * bool(old), *replaced] if announce else ():
        print(line, file=sys.stderr, flush=True)
    return tree


def validate(tree: Mapping[str, Any], source: Path) -> Recipe:
    """Validate `tree`, read from `source`; InputError names the first bad key and the expected value."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{source}: {_explain(error, Recipe)}") from None


def from_dotted(model: type[Settings], given: Mapping[str, str]) -> Settings:
    """Build a `model` from dotted key -> text; InputError names the first bad key and the nearest known one."""
    tree: dict[str, Any] = {}
    for dotted, text in given.items():
        _set_dotted(tree, dotted, _parse_value(model, dotted, text))
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise InputError(_explain(error, model)) from None


def find_recipe(source: str) -> Path:
    """Path of the recipe `source`: a path, or the bare name of one that ships."""
    shipped = shipped_recipes()
    try:
        if Path(source).is_file():
            return Path(source)
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise InputError(f"recipe {source!r}: {error.strerror}") from None
    if source in shipped:
        return shipped[source]
    raise InputError(f"no recipe {source!r}{did_you_mean(source, shipped)}: give the path of a YAML file, or one of: "
                     f"{', '.join(shipped)}")


def shipped_recipes() -> dict[str, Path]:
    """The recipes that ship by name, in alphabetical order."""
    return {path.stem: path for path in sorted(RECIPES.glob("*.yaml"))}


def dump(recipe: Recipe) -> str:
    """YAML of `recipe` with every default written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the mapping in a recipe's file; InputError if it is not readable or no mapping. Values are not checked."""
    try:
        tree = plain_yaml.parse(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not readable as YAML: {error}") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path}: a recipe is a mapping of sections, found {type(tree).__name__}")
    return tree


def _parse_value(model: type[BaseModel], dotted: str, text: str) -> Any:
    """Parse lists, mappings and null as YAML, comma lists by the key's type; leave all else as text for pydantic.

    YAML would turn a run named 007 into 7, and keep 1e-5 as a string.
    """
    container = _container(model, dotted)
    if text in ("null", "~"):  # as in YAML; `none` is a word, and a value of data.verify
        return None if container is None else container()
    if not text.startswith(("[", "{")):
        return _comma_list(dotted, text, container)
    try:
        return plain_yaml.parse(text)
    except plain_yaml.YamlError:
        raise InputError(f"--{dotted}: cannot read {text!r} as YAML") from None


def _comma_list(dotted: str, text: str, container: type | None) -> Any:
    """`a,b` of a key that holds a list, `a=1,b=2` of one that holds a mapping; other text as it is."""
    if container is None:
        return text
    parts = [part.strip() for part in text.split(",")]
    pairs = [part.partition("=") for part in parts]
    if not all(parts) or (container is dict and not all(name and equals for name, equals, _ in pairs)):
        shape = "a,b" if container is list else "a=1,b=2"
        raise InputError(f"--{dotted}: expected a list with commas between, {shape}, found {text!r}")
    return parts if container is list else {name: value for name, _, value in pairs}


def _container(model: type[BaseModel], dotted: str) -> type | None:
    """list or dict, where the key `dotted` of `model` holds one."""
    *sections, leaf = dotted.split(".")
    owners = [model]
    for section in sections:
        owners = [inner for owner in owners if section in owner.model_fields
                  for inner in _sections(owner.model_fields[section].annotation)]
    found = [get_origin(owner.model_fields[leaf].annotation) for owner in owners if leaf in owner.model_fields]
    return next((kind for kind in found if kind in (list, dict)), None)


def _set_dotted(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, leaf = dotted.split(".")
    node = tree
    for section in sections:
        if node.get(section) is None:
            node[section] = {}
        node = node[section]
        if not isinstance(node, dict):
            raise InputError(f"--{dotted}: {section!r} is a value, not a section")
    node[leaf] = value


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    """First problem as one line, with the nearest known key if a key is unknown."""
    # Mistyped keys first: a missing key is often their consequence.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    location, method = first["loc"], None
    if location[:1] == ("robust",) and len(location) > 1:  # pydantic puts the method's name behind it
        method, location = str(location[1]), (location[0], *location[2:])
    key = ".".join(str(part) for part in location)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        if method is not None and (owners := methods_with(str(location[-1]))):
            return (f"unknown key {key!r} under robust.method {method}: it belongs to {', '.join(owners)}; remove it, "
                    f"or train with --method {owners[0]}{more}")
        close = " or ".join(map(repr, nearest_keys(key, model)))
        return f"unknown key {key!r}" + (f", did you mean {close}?" if close else "") + more
    if first["type"] == "missing":
        return f"missing key {key!r}{more}"
    if first["type"].startswith("union_tag"):
        tag = first.get("ctx", {}).get("tag")
        where, found = (key, first["input"]) if tag is None else (f"{key}.method", tag)
        expected = "a section" if tag is None else f"one of {', '.join(map(repr, METHODS))}"
        return f"{where}: expected {expected}, found {found!r}{did_you_mean(str(tag), METHODS)}{more}"
    message = first["msg"].removeprefix("Value error, ")
    found = "" if first["type"] == "value_error" else f", found {first['input']!r}"
    if first["type"] == "literal_error":
        found += did_you_mean(str(first["input"]), re.findall(r"'([^']*)'", first["ctx"]["expected"]))
    return f"{'' if not key or message.startswith(f'{key}.') else f'{key}: '}{message}{found}{more}"


def nearest_keys(word: str, model: type[BaseModel] = Recipe) -> list[str]:
    """The keys of `model` that `word`, which is none, may mean: short forms, other spellings, Hugging Face's names."""
    known = list(known_keys(model))
    ending, plain = word.rpartition(".")[2].replace("-", "_"), word.replace("-", "_")
    meant = ([key for key in known if key.replace(".", "_") == plain or key == OTHER_NAMES.get(ending)]
             or [key for key in known if key.rpartition(".")[2] == ending] or get_close_matches(word, known, n=1))
    near = get_close_matches(ending, [key.rpartition(".")[2] for key in known], n=1)
    return meant or [key for key in known if key.rpartition(".")[2] in near]


def known_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every dotted key of `model`, sections included; of a union of sections, the keys of all."""
    keys: dict[str, None] = {}
    for name, field in model.model_fields.items():
        keys[prefix + name] = None
        for section in _sections(field.annotation):
            keys |= dict.fromkeys(known_keys(section, f"{prefix}{name}."))
    yield from keys


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a field of this annotation may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _sections(part)
