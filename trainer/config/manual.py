"""Manual of recipes: `python -m trainer recipes` and `python -m trainer keys [PATTERN]`.

All of it is read from the schema (types, defaults, bounds, docstrings) and from the first lines of the shipped recipes.
"""

from __future__ import annotations

import inspect
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from data_prep.base.errors import InputError, did_you_mean
from data_prep.base.folding import fold
from trainer.config.load import find_recipe, shipped_recipes
from trainer.config.schema import Recipe
from trainer.robust import DEFAULT_METHOD, METHODS

WIDEST = 120  # characters of a line
METHOD_KEY = "robust.method"
NEEDED = "needed"


@dataclass(frozen=True)
class Key:
    """Entry of a recipe key."""

    name: str
    """Dotted."""
    values: str
    """Type and range in words."""
    default: str
    """As it would be typed; NEEDED without one, by method where they differ."""
    meaning: str
    choices: tuple[str, ...] = ()
    """All its values, of a key that has few."""


def recipes(*name: str) -> None:
    """List the recipes that ship, one a line; with NAME, show the file of one.

    A recipe of your own is a YAML file like these; `python -m trainer keys` lists what it may hold.
    """
    if name:
        for one in name:
            sys.stdout.write(find_recipe(one).read_text(encoding="utf-8"))
        return
    found = {stem: path.read_text(encoding="utf-8").splitlines()[0] for stem, path in shipped_recipes().items()}
    width = max(map(len, found))
    for stem, line in found.items():
        print(fold(f"{stem:<{width}}  {line.removeprefix('# ')}", width + 2))


def keys(*pattern: str) -> None:
    """List the keys of a recipe: type and range, default, meaning; with PATTERN, those whose name or meaning holds it.

    PATTERN is a part of a name, or holds `*`: lr, robust, 'robust.*'. What is in no name is looked for in the meanings.
    Each key can be written into a recipe's file, or typed behind `train`: --optimizer.lr 1e-5.
    """
    known = list(all_keys())
    chosen = ([key for key in known if all(_in_name(key.name, word) for word in pattern)]
              or [key for key in known if all(word.lower() in key.meaning.lower() for word in pattern)])
    if not chosen:
        raise InputError(f"no key has {' '.join(pattern)!r} in its name or meaning"
                         f"{did_you_mean(pattern[0], [key.name for key in known])}; python -m trainer keys lists all")
    width = min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST)
    for key in chosen:
        print(fold(f"{key.name}: {key.values}; {'' if key.default == NEEDED else 'default '}{key.default}", 2))
        for paragraph in key.meaning.splitlines():
            print(textwrap.fill(paragraph, width, initial_indent="    ", subsequent_indent="    "))


def all_keys() -> Iterator[Key]:
    """Every key that holds a value, in the order of the schema."""
    schema = Recipe.model_json_schema()
    sections = schema["$defs"]
    for name, entry in schema["properties"].items():
        if "oneOf" in entry:  # `robust`, a section for each method
            yield from _method_keys(name, [sections[_section(one)] for one in entry["oneOf"]])
        elif "$ref" in entry:
            section = sections[_section(entry)]
            for leaf, field in section["properties"].items():
                yield _key(f"{name}.{leaf}", field, leaf in section.get("required", ()))
        else:
            yield _key(name, entry, name in schema["required"])


def _in_name(name: str, word: str) -> bool:
    return fnmatch(name, word) if any(sign in word for sign in "*?[") else word.lower() in name


def _section(entry: Mapping[str, Any]) -> str:
    return str(entry["$ref"]).rpartition("/")[2]


def _key(name: str, field: Mapping[str, Any], needed: bool) -> Key:
    default = NEEDED if needed else _typed(field.get("default", []))
    return Key(name, _values(field), default, _prose(field.get("description", "")), _choices(field))


def _method_keys(section: str, methods: list[Mapping[str, Any]]) -> Iterator[Key]:
    """Keys of the section that each method has of its own: one entry a key, differences named by method."""
    names = {method["properties"]["method"]["const"]: method["properties"] for method in methods}
    about = "\n".join(f"{name}: {_first_line(METHODS[name].settings.__module__)}" for name in names)
    yield Key(METHOD_KEY, f"one of {', '.join(names)}", DEFAULT_METHOD,
              f"Robust method; `--method` replaces it, and keeps the settings that both have.\n{about}", tuple(names))
    for leaf in dict.fromkeys(leaf for fields in names.values() for leaf in fields if leaf != "method"):
        entries = {name: _key(f"{section}.{leaf}", fields[leaf], False) for name, fields in names.items()
                   if leaf in fields}
        values, defaults, meanings = ({name: getattr(entry, part) for name, entry in entries.items()}
                                      for part in ("values", "default", "meaning"))
        yield Key(f"{section}.{leaf}", _by_method(values, "; "), _by_method(defaults, ", "),
                  f"Of {', '.join(entries)}.\n{_by_method(meanings, chr(10), before=True)}",
                  tuple(dict.fromkeys(choice for entry in entries.values() for choice in entry.choices)))


def _by_method(texts: Mapping[str, str], between: str, before: bool = False) -> str:
    """The text that all methods share, or each one with its methods (`before` or behind it)."""
    owners: dict[str, list[str]] = {}
    for method, text in texts.items():
        owners.setdefault(text, []).append(method)
    if len(owners) == 1:
        return next(iter(owners))
    return between.join(f"{', '.join(names)}: {text}" if before else f"{text} ({', '.join(names)})"
                        for text, names in owners.items())


def _first_line(module: str) -> str:
    return (inspect.getdoc(sys.modules[module]) or "").splitlines()[0]


def _prose(text: str) -> str:
    """A docstring as one paragraph; a setting's None is typed as null."""
    return re.sub(r"\bNone\b", "null", " ".join(text.split()))


def _values(field: Mapping[str, Any]) -> str:
    """Type and range of a field of a JSON schema, in words."""
    if "anyOf" in field:
        return " or ".join("null" if one.get("type") == "null" else _values(one) for one in field["anyOf"])
    if "enum" in field:
        return f"one of {', '.join(map(str, field['enum']))}"
    kind = field.get("type")
    if kind in ("integer", "number"):
        return " ".join(filter(None, ("whole number" if kind == "integer" else "number", _bounds(field))))
    if kind == "array":
        return "list with commas between"
    if kind == "object":
        named = next(iter(field.get("patternProperties", {}).values()), None) or field.get("additionalProperties", {})
        return f"NAME={_values(named)}, with commas between"
    return {"boolean": "true or false", "string": "text"}[str(kind)]


def _choices(field: Mapping[str, Any]) -> tuple[str, ...]:
    if field.get("type") == "boolean":
        return ("true", "false")
    return tuple(str(value) for one in field.get("anyOf", [field]) for value in one.get("enum", ()))


def _bounds(field: Mapping[str, Any]) -> str:
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    return " and ".join(f"{sign} {_typed(field[name])}" for name, sign in signs.items() if name in field)


def _typed(value: Any) -> str:
    """A value as it is typed in YAML or on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value >= 2**16 and value & (value - 1) == 0:
        return f"2^{value.bit_length() - 1}"
    if isinstance(value, (int, float)):
        return re.sub(r"e([+-]?)0*", lambda found: f"e{found[1].strip('+')}", f"{value:g}")
    return str(value) if value else "empty"
