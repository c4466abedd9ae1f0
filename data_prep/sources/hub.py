"""Rows of a task through `datasets.load_dataset`: from the hub, or from a folder or mirror with the same schema.

Input: a task with a `Hub` entry. Output: the same batches as from files. No code of a repository is run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets

from data_prep.base.errors import InputError
from data_prep.kinds import named_kind
from data_prep.kinds.rows import GOLD_FIELDS, Record, TextBatch
from data_prep.sources.batches import BATCH_ROWS, Content, read_batches
from data_prep.sources.jsonl import ABSENT, look_up
from data_prep.suggest import near_language
from data_prep.tasks.task import LANGUAGE, Hub, Task

# configurations named by a language; others, such as "default" or "all_languages", only on request
LANGUAGE_CONFIG = re.compile(r"(?!all$)[a-z]{2,3}([_-][A-Z][a-z]{3})?([_-][A-Z]{2})?")


def hub_cells(
    task: Task, repo: str, languages: Sequence[str] | None, splits: Sequence[str] | None, revision: str | None = None
) -> list[tuple[str, str]]:
    """The (split, language) pairs of `task` that `repo` has, restricted to `languages` if given.

    Languages are the configurations of the repository, in the task's own list or not. Raises InputError if the task
    is not on the hub, the repository cannot be read, or it lacks a requested language or split (the message lists
    those that it has).
    """
    hub = _hub(task)
    there = hub_languages(task, repo, languages, revision)
    for language in languages or ():
        if language not in there:
            raise InputError(f"hub:{repo}: nothing for language {language!r}{near_language(language, there)}; it has: "
                             f"{', '.join(there)}")
    cells, names = [], set()
    for language in languages or there:
        found = _split_names(task, repo, language, revision)
        names.update(found)
        cells += [(split, language) for split, name in hub.splits.items() if name in found]
    for split in splits or hub.splits:
        absent = split in hub.splits and split not in {one for one, _ in cells}
        if absent and (splits or not cells):
            raise InputError(f"hub:{repo}: nothing for split {split!r}, which it should call {hub.splits[split]}; it "
                             f"has: {', '.join(sorted(names)) or 'none'}")
    return cells


def hub_languages(task: Task, repo: str, asked: Sequence[str] | None, revision: str | None = None) -> list[str]:
    """The languages of `task` that `repo` has, as it spells them. Raises InputError if it cannot be read."""
    configs = _listed(repo, "default", lambda: datasets.get_dataset_config_names(repo, revision=revision))
    if configs == ["default"] and not Path(repo).is_dir():
        configs = []  # a repository that is only in the cache also reports "default": its configurations are unknown
    return _languages(task, _hub(task), repo, configs, asked)


def hub_splits(task: Task, repo: str, language: str, revision: str | None = None) -> list[str]:
    """The splits of one language. Raises InputError if they cannot be listed."""
    found = _split_names(task, repo, language, revision)
    return [split for split, name in _hub(task).splits.items() if name in found]


def _split_names(task: Task, repo: str, language: str, revision: str | None) -> list[str]:
    config = _config(_hub(task), language)
    return _listed(repo, config, partial(datasets.get_dataset_split_names, repo, config, revision=revision,
                                         cache_dir=_cache(repo)))


def _languages(
    task: Task, hub: Hub, repo: str, configs: Sequence[str], asked: Sequence[str] | None
) -> list[str]:
    """The languages of a repository with these configurations; those asked for if its configurations are unknown."""
    if hub.config is None or "{language}" not in hub.config:
        if hub.config and configs and hub.config not in configs:
            raise InputError(f"hub:{repo} has no configuration {hub.config} of {task.name}; it has: "
                             f"{', '.join(configs)}")
        return list(task.languages)
    if not configs:
        return list(dict.fromkeys([*task.languages, *(asked or ())]))
    gap = re.escape("{language}")  # which may occur twice, in the name of two texts' languages
    template = re.compile(re.escape(hub.config).replace(gap, "(.+)", 1).replace(gap, r"\1"))
    names = [found[1] for config in configs if (found := template.fullmatch(config))]
    wanted = {*task.languages, *(asked or ())}
    there = [name for name in names if re.fullmatch(LANGUAGE, name)
             and (name in wanted or LANGUAGE_CONFIG.fullmatch(name))]
    if not there:
        raise InputError(f"hub:{repo} has no configuration named by a language; it has: {', '.join(configs)}; "
                         f"{task.name} has one per language, such as {_config(hub, task.languages[0])}")
    return there


def _listed(repo: str, config: str | None, names: Callable[[], list[str]]) -> list[str]:
    """Call `names`; raises InputError if the repository cannot be read."""
    try:
        return names()
    except Exception as error:  # network, permissions, unknown configuration, bad files: each has its own class
        raise _cannot_load(repo, config or "default", error) from None


def _cannot_load(repo: str, what: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    return InputError(f"hub:{repo} ({what}) cannot be loaded ({type(error).__name__}: {reason}); check the "
                      "connection, or give a folder as --source")


def _config(hub: Hub, language: str) -> str | None:
    return hub.config.format(language=language) if hub.config else None


def describe_hub(task: Task, repo: str, split: str, language: str) -> str:
    """Source of the rows, for the manifest."""
    hub = _hub(task)
    return f"hub:{repo} {_config(hub, language) or 'default'} {hub.splits[split]}"


def load_hub_split(
    task: Task, repo: str, split: str, language: str, revision: str | None = None
) -> datasets.Dataset:
    """One split, memory-mapped from the local cache, after a check of its columns.

    `repo` is the task's own repository, a mirror, or a local folder laid out the same way. Raises InputError if it
    cannot be loaded or has other columns.
    """
    hub = _hub(task)
    config = _config(hub, language)
    try:
        data = datasets.load_dataset(repo, config, split=hub.splits[split], revision=revision, cache_dir=_cache(repo))
    except Exception as error:  # as in `_listed`
        raise _cannot_load(repo, f"{config or 'default'}, {hub.splits[split]}", error) from None
    given = {field: column for field, column in hub.columns.items() if field not in GOLD_FIELDS}
    missing = [name for name in given.values() if _root(name, data) not in data.column_names]
    if missing:
        raise InputError(f"hub:{repo} has no column {', '.join(missing)}; it has {', '.join(data.column_names)}")
    for name in (column for field, column in given.items() if field in named_kind(task.kind).texts):
        kind = data.features.get(name, datasets.Value("string"))  # what a nested one holds, the kind checks
        if not (isinstance(kind, datasets.Value) and kind.dtype in ("string", "large_string")):
            raise InputError(f"hub:{repo}: column {name} holds {kind}, expected text")
    return data


def _cache(repo: str) -> str | None:
    """Cache folder of `datasets` for a local folder in its current state; None (the default cache) for a repository.

    The default cache identifies a folder by its path alone, and would return the rows of its first reading.
    """
    folder = Path(repo)
    if not folder.is_dir():
        return None
    state = hashlib.sha256(str(folder.resolve()).encode())
    for file in sorted(folder.rglob("*")):
        about = file.lstat() if file.is_symlink() and not file.exists() else file.stat()
        state.update(f"{file}\n{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}\n".encode())
    return str(Path(datasets.config.HF_DATASETS_CACHE) / f"folder-{state.hexdigest()[:16]}")


def read_hub(
    data: datasets.Dataset, task: Task, name: str, skipped: Counter[str], content: Content | None = None,
    language: str = "",
) -> Iterator[TextBatch]:
    """Batches of the rows of one split; `skipped` counts rows left out by reason, `content` counts and hashes all.

    The label -1 means no label; if other rows have one, such a row is left out, so that a split is labelled as a
    whole or not at all. The hash covers the columns that are read and the names of the labels.
    """
    yield from read_batches(_records(data, _hub(task), content or Content()), task, skipped, f"{name}, row", language)


def _records(data: datasets.Dataset, hub: Hub, content: Content) -> Iterator[tuple[int, Record]]:
    names = _label_names(data, hub)
    sha256 = content.new_hash()
    sha256.update(json.dumps(list(names)).encode())
    key_column = hub.key if hub.key in data.column_names else None
    wanted = {field: column for field, column in hub.columns.items() if _root(column, data) in data.column_names}
    used = [*dict.fromkeys(_root(column, data) for column in wanted.values()), *([key_column] if key_column else [])]
    gold = [field for field in wanted if field in GOLD_FIELDS]
    labelled = any(_gold(_part(value, wanted[field], data), names)
                   for field in gold for value in data[_root(wanted[field], data)])
    for start in range(0, len(data), BATCH_ROWS):
        rows: dict[str, list[Any]] = data[start : start + BATCH_ROWS]
        size = len(rows[used[0]])
        content.rows += size
        for values in zip(*(rows[column] for column in used), strict=True):
            sha256.update(json.dumps(values, default=str).encode())
        keys = [_key(value) for value in rows[key_column]] if key_column else [None] * size
        for at in range(size):
            row = {field: _part(rows[_root(column, data)][at], column, data) for field, column in wanted.items()}
            row = {field: _gold(value, names) if field in gold else value for field, value in row.items()}
            yield start + at, Record(start + at, row, labelled, keys[at])


def _root(column: str, data: datasets.Dataset) -> str:
    """The column that holds `column`, which may name a part of it: `answers.text`."""
    return column if column in data.column_names else column.partition(".")[0]


def _part(value: Any, column: str, data: datasets.Dataset) -> Any:
    """The part of a value that `column` names; None if the row lacks it."""
    if column in data.column_names:
        return value
    found = look_up(value, column.partition(".")[2])
    return None if found is ABSENT else found


def _gold(label: Any, names: Sequence[str]) -> Any:
    """A label as text, "" for none (-1 on the hub); of a list each."""
    if isinstance(label, list):
        return [_gold(one, names) for one in label]
    if isinstance(label, dict):
        return label
    if label is None or label == -1 or label == "":
        return ""
    if isinstance(label, int):
        return names[label] if 0 <= label < len(names) else str(label)
    return str(label).strip()


def _key(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _label_names(data: datasets.Dataset, hub: Hub) -> Sequence[str]:
    feature = data.features.get(hub.columns.get("label", hub.columns.get("tags")))
    feature = getattr(feature, "feature", feature)  # of a list of labels
    return feature.names if isinstance(feature, datasets.ClassLabel) else hub.label_names


def _hub(task: Task) -> Hub:
    if task.hub is None:
        raise InputError(f"{task.name} is not on the hub; give a folder as --source")
    return task.hub
