"""Copies of rows: the frame of all augmentations.

Input: a function that rewrites the texts of a row, and batches of rows. Output: batches in which row r has become the
rows r * (copies + 1) (the clean one) to r * (copies + 1) + copies, and key k the keys k#0 to k#copies. With 0 copies
each row is rewritten in place and keeps its id and key, so that a perturbed cell pairs with the clean one by key.
The draws are a function of seed, row and copy alone, so they depend neither on workers nor on batches.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.base.errors import InputError
from data_prep.build import build_task
from data_prep.kinds import named_kind
from data_prep.kinds.kind import Kind
from data_prep.kinds.rows import TextBatch
from data_prep.planning import Augmentation, Settings, Survey, check_name
from data_prep.sources.layouts import named_task
from data_prep.tasks import TASKS

# (texts of one copy of a row, its random numbers, cell as split/language) -> the texts rewritten, and counts
Rewrite = Callable[[Sequence[str], random.Random, str], tuple[list[str], dict[str, int]]]
Fields = Callable[[Kind], tuple[str, ...]]
EVERY = "*"  # for --languages: all that the source has


@dataclass(frozen=True)
class Copies:
    """Augmenter of batches; callable in worker processes."""

    rewrite: Rewrite
    copies: int
    seed: int
    fields: tuple[str, ...]
    """Fields that are rewritten: texts, or lists of texts."""

    def __call__(self, batch: TextBatch) -> tuple[TextBatch, dict[str, int]]:
        """The rows with their copies, and the counts of `rewrite` summed over copies."""
        result, counts = TextBatch(cell=batch.cell), Counter[str]()
        keys = batch.keys or [str(row) for row in batch.ids]
        for at, (row, key) in enumerate(zip(batch.ids, keys, strict=True)):
            values = {name: column[at] for name, column in batch.columns.items()}
            if not self.copies:
                result.add(row, self._copy(values, row, 1, batch.cell, counts), key if batch.keys else None)
                continue
            first = row * (self.copies + 1)
            result.add(first, values, f"{key}#0")
            for copy in range(1, self.copies + 1):
                result.add(first + copy, self._copy(values, row, copy, batch.cell, counts), f"{key}#{copy}")
        return result, dict(counts)

    def _copy(self, values: dict[str, Any], row: int, copy: int, cell: str, counts: Counter[str]) -> dict[str, Any]:
        given = {name: values[name] for name in self.fields if name in values}
        texts = [text for one in given.values() for text in ([one] if isinstance(one, str) else one)]
        rewritten, more = self.rewrite(texts, random.Random(f"{self.seed}/{row}/{copy}"), cell)
        counts.update(more)
        rest = iter(rewritten)
        return values | {name: next(rest) if isinstance(one, str) else [next(rest) for _ in one]
                         for name, one in given.items()}


def fields_of(task: str, fields: Fields, method: str) -> tuple[str, ...]:
    """The fields of a task that an augmentation may rewrite. Raises InputError if there are none."""
    kind = named_task(task).kind
    if not (found := fields(named_kind(kind))):
        fit = [name for name, one in TASKS.items() if fields(named_kind(one.kind))]
        raise InputError(f"augment {method}: {task} is of kind {kind}, whose texts may not be rewritten; tasks whose "
                         f"texts may: {', '.join(fit)}")
    return found


def write_copies(
    task: str, source: str, languages: str | None, splits: str | None, settings: Callable[[Augmentation], Settings],
    name: str, augment: Copies, words: str, survey: Survey | None = None,
) -> Counter[str]:
    """Write the cells of `<task>+<name>`; returns the counts summed over the written cells.

    languages: comma list, or `*` for all that the source has. settings: of the build, given the augmentation. words:
    the method's settings, for the manifest.
    """
    check_name(name)
    many = f"{augment.copies} copies" if augment.copies else "perturbed rows only"
    described = f"{words}, {many}, seed {augment.seed}"
    return build_task(task, source, None if languages == EVERY else languages, splits, settings(
        Augmentation(name, augment.copies, described, augment, survey)))


def check_ratio(ratio: float) -> None:
    """Raise InputError for a probability that is not above 0 and at most 1."""
    if not 0 < ratio <= 1:
        raise InputError(f"--ratio must be above 0 and at most 1, found {ratio:g}")


def check_least(**flags: int) -> None:
    """Raise InputError for a flag below 1."""
    for flag, value in flags.items():
        if value < 1:
            raise InputError(f"--{flag} must be at least 1, found {value}")
