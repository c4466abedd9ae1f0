"""JSON Lines: one object per line, whose keys are the columns of the layout."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_prep.base.errors import InputError
from data_prep.kinds.rows import GOLD_FIELDS
from data_prep.sources.columns import Columns, alternatives, expected_columns
from data_prep.sources.lines import read_rows
from data_prep.tasks.task import Layout

ABSENT = object()
SURROGATE = re.compile(r"[\ud800-\udfff]")


def open_jsonl(file: Path, layout: Layout, split: str, sha256: Any = None) -> tuple[Columns, Iterator[tuple[int, Any]]]:
    """Columns of `file`, and (line number, fields) of its rows; a blank line is a row of one field.

    Iterating raises InputError, naming file and line, for a line that is not a JSON object with the keys.
    """
    at = {field: number for number, field in enumerate(layout.columns)}
    language, key = len(at) if layout.language_column else -1, len(at) + 1 if layout.key is not None else -1
    return Columns(at, language, key, len(at) + 2), _objects(file, layout, split, sha256)


def _objects(file: Path, layout: Layout, split: str, sha256: Any) -> Iterator[tuple[int, list[Any]]]:
    """(line number, fields) of the layout, language and key of each object; lists and objects as they are."""
    for number, line in enumerate(read_rows(file, sha256), start=1):
        if not line.strip():
            yield number, [""]
            continue
        where = f"{file}, line {number}"
        found = parse_object(line, where, f"with the keys {expected_columns(layout)}")
        fields = []
        for field, names in [*layout.columns.items(), ("language", layout.language_column), ("key", layout.key)]:
            key = next((name for name in alternatives(names) if look_up(found, name) is not ABSENT), None)
            value = look_up(found, key) if key is not None else None
            gold = field in GOLD_FIELDS
            optional = not names or field == "key" or (gold and (split == "test" or key is not None))
            if (gold or field == "key") and type(value) in (int, float):
                value = str(value)
            if gold and isinstance(value, list):  # tags as numbers
                value = [str(one) if type(one) in (int, float) else one for one in value]
            if not (isinstance(value, str | list | dict) or (value is None and optional)):
                what = (f"{key} is not text" if key is not None else
                        f"no key {' or '.join(alternatives(names))} among {', '.join(found)[:120] or 'none'}")
                raise InputError(f"{where}: {what}; expected the keys {expected_columns(layout)}")
            if value and SURROGATE.search(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)):
                raise InputError(f"{where}: {key} holds half of a surrogate pair, which is not a character; correct it")
            fields.append(value or "")
        yield number, fields


def parse_object(line: str, where: str, expected: str) -> dict[str, Any]:
    """The JSON object of `line`. Raises InputError, which names `where` and what is `expected`, if it is none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error}); expected one object per line") from None
    if not isinstance(found, dict):
        raise InputError(f"{where}: not a JSON object; expected one per line, {expected}")
    return found


def look_up(found: Any, name: str) -> Any:
    """The value of a key of an object, ABSENT if it has none; dots lead into nested objects, and into each of a list.

    `choices.text` of {"choices": [{"text": "a"}, {"text": "b"}]} is ["a", "b"].
    """
    if isinstance(found, list):
        several = [look_up(one, name) for one in found]
        return ABSENT if not several or any(one is ABSENT for one in several) else several
    if not isinstance(found, dict):
        return ABSENT
    if name in found:
        return found[name]
    first, _, rest = name.partition(".")
    return look_up(found[first], rest) if rest and first in found else ABSENT
