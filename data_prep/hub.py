"""Read a task through `datasets.load_dataset`: from the hub, or from a folder or mirror with the same schema.

Input: a task with a `Hub` entry. Output: the same `TextBatch`es as from files. No code of a repository is run.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets

from data_prep.errors import InputError
from data_prep.reading import BATCH_ROWS, NO_LABEL, Content, TextBatch, label_indices
from data_prep.tasks.task import Hub, Task


def hub_cells(task: Task) -> list[tuple[str, str]]:
    """The (split, language) pairs that the hub has for `task`; InputError where the task is not on the hub."""
    if task.hub is None:
        raise InputError(f"{task.name} is not on the hub; give a folder as --source")
    return [(split, language) for split in task.hub.splits for language in task.languages]


def describe_hub(task: Task, repo: str, split: str, language: str) -> str:
    """Where the rows come from, for the manifest."""
    hub = _hub(task)
    config = hub.config.format(language=language) if hub.config else "default"
    return f"hub:{repo} {config} {hub.splits[split]}"


def load_hub_split(task: Task, repo: str, split: str, language: str) -> datasets.Dataset:
    """One split as the hub has it, memory-mapped from the local cache, its columns checked.

    `repo` is the task's own repository, a mirror, or a local folder laid out the same way. Raises InputError where
    it cannot be had.
    """
    hub = _hub(task)
    config = hub.config.format(language=language) if hub.config else None
    revision = hub.revision if repo == hub.repo else None
    try:
        data = datasets.load_dataset(repo, config, split=hub.splits[split], revision=revision, cache_dir=_cache(repo))
    except Exception as error:  # network, permissions, unknown configuration, bad files: each has its own class
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"hub: {repo} ({config or 'default'}, {hub.splits[split]}) cannot be loaded "
                         f"({type(error).__name__}: {reason}); check the connection, or give a folder as --source"
                         ) from None
    missing = [name for name in (hub.first, hub.second) if name not in data.column_names]
    if missing:
        raise InputError(f"hub: {repo} has no column {', '.join(missing)}; it has {', '.join(data.column_names)}")
    for name in (hub.first, hub.second):
        kind = data.features[name]
        if not (isinstance(kind, datasets.Value) and kind.dtype in ("string", "large_string")):
            raise InputError(f"hub: column {name} of {repo} holds {kind}, expected text")
    return data


def _cache(repo: str) -> str | None:
    """Where `datasets` keeps its copy of a local folder: a place for each state of it, None for the usual place.

    The usual place knows a folder by its path alone, and would go on giving the rows it held when first read.
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
    data: datasets.Dataset, task: Task, name: str, skipped: Counter[str], content: Content | None = None
) -> Iterator[TextBatch]:
    """Batches of the rows of one split; `skipped` counts rows left out by reason. The label -1 means no label.

    `content`, where given, counts all rows and hashes the columns that are read, with the names of the labels.
    """
    hub, content = _hub(task), content or Content()
    names = _label_names(data, hub)
    sha256 = content.new_hash()
    sha256.update(json.dumps(list(names)).encode())
    key_column = hub.key if hub.key in data.column_names else None
    wanted = (hub.first, hub.second, hub.label, key_column)
    used = [column for column in wanted if column is not None and column in data.column_names]
    index, doubtful = label_indices(task), set(task.no_consensus)
    for start in range(0, len(data), BATCH_ROWS):
        rows: dict[str, list[Any]] = data[start : start + BATCH_ROWS]
        content.rows += len(rows[hub.first])
        for values in zip(*(rows[column] for column in used), strict=True):
            sha256.update(json.dumps(values, default=str).encode())
        batch = TextBatch()
        given = rows.get(hub.label, [None] * len(rows[hub.first]))
        keys = [_key(value) for value in rows[key_column]] if key_column else [None] * len(given)
        columns = zip(rows[hub.first], rows[hub.second], given, keys, strict=True)
        for row, (first, second, label, key) in enumerate(columns, start):
            spelt = _spelling(label, names)
            if first is None or second is None:
                skipped["missing text"] += 1
            elif spelt in doubtful:
                skipped["no consensus"] += 1
            elif spelt and spelt not in index:
                raise InputError(f"{name}, row {row}: label {label!r} is not one of {', '.join(task.labels)}")
            else:
                batch.add(row, first, second, index[spelt] if spelt else NO_LABEL, key)
        if len(batch):
            yield batch


def _spelling(label: Any, names: Sequence[str]) -> str:
    """A label as a lower-case word, empty where there is none (-1 on the hub)."""
    if label is None or label == -1 or label == "":
        return ""
    if isinstance(label, int):
        return names[label].lower() if 0 <= label < len(names) else str(label)
    return str(label).strip().lower()


def _key(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _label_names(data: datasets.Dataset, hub: Hub) -> Sequence[str]:
    feature = data.features.get(hub.label)
    return feature.names if isinstance(feature, datasets.ClassLabel) else hub.label_names


def _hub(task: Task) -> Hub:
    if task.hub is None:
        raise InputError(f"{task.name} is not on the hub; give a folder as --source")
    return task.hub
