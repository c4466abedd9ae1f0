"""What the labels of a cell may be called elsewhere: in other spellings, and by a model that others trained.

Input: a manifest. Output: spellings and the index that each stands for.
"""

from __future__ import annotations

from collections.abc import Sequence

from data_prep.shards.manifest import Manifest
from data_prep.tasks import TASKS


def label_order(names: Sequence[str], manifest: Manifest) -> list[int] | None:
    """For each label of `manifest`, the position in `names` of its name; None where they are not the same classes.

    The labels themselves, in their order, always are. Else case, spaces, `-` and `_` make no difference, and aliases of
    the task count (`contradictory`); copies of a task (`xnli+synonyms`) have its aliases.
    """
    if list(names) == manifest.labels:
        return list(range(len(names)))
    labels = {_plain(label): index for index, label in enumerate(manifest.labels)}
    task = TASKS.get(manifest.task.partition("+")[0])
    aliases = {} if task is None else {_plain(alias): _plain(label) for alias, label in task.aliases.items()}
    spellings = {alias: labels[label] for alias, label in aliases.items() if label in labels} | labels
    meant = [spellings.get(_plain(name), -1) for name in names]
    if sorted(meant) != list(range(len(manifest.labels))):
        return None
    return [meant.index(label) for label in range(len(manifest.labels))]


def _plain(name: str) -> str:
    return "_".join(name.casefold().replace("-", " ").replace("_", " ").split())
