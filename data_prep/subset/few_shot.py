"""Few shots: k examples per class, or k examples of kinds without classes, as a training cell.

Buckets are draws of their own (Zhao et al. 2021: the choice of shots alone moves accuracy by more than 10 points). Each
example has a rank, a function of seed, bucket and its key alone: the shots of a bucket are nested over k, and the same
in every language in which the publisher's keys are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from data_prep.base.errors import InputError
from data_prep.languages import same_language
from data_prep.shards.columns import has_gold, holds_gold, of_type
from data_prep.shards.manifest import IN_SHOTS, IN_TEST, NO_GOLD
from data_prep.shards.read import Cell, find_cells, open_cell
from data_prep.subset.cells import Subset, drawn_order, origin_cells, subset_of, title, write_subsets

TEST = "test"


def few_shot(
    cell: str, *, k: int, shards: str, bucket: int = 0, seed: int = 0, name: str | None = None, rest: bool = False,
    overwrite: bool = False,
) -> None:
    """Write k examples per class of a finished cell as a training cell, for few-shot learning.

    cell: TASK/SPLIT/LANGUAGE below --shards; the language may be a comma list, or * for all. k: examples per class, or
    examples where the task has no classes. The shots are `<task>+<name>/train/<language>`, by default named shots16b0
    for k 16 and bucket 0. bucket: number of the draw; within a bucket, fewer shots are among more. seed: of all.
    rest: also write the examples that are no shots, as `<task>+<name>-rest/dev/<language>`. Shots are never taken from
    a split `test`, and rows whose text occurs in a test cell of the task and language are left out.
    """
    for flag, value, least in (("k", k, 1), ("bucket", bucket, 0), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"--{flag} must be at least {least}, found {value}")
    console = Console(highlight=False)
    name = name or f"shots{k}b{bucket}"
    subsets: list[Subset] = []
    for origin in origin_cells(cell, shards):
        if origin.manifest.split == TEST:
            raise InputError(f"{title(origin)}: shots of a test split would be trained on and scored; give a cell of "
                             "another split")
        if origin.manifest.copies:
            raise InputError(f"{title(origin)} holds {origin.manifest.copies + 1} copies of each row; give the clean "
                             "cell")
        subsets += _subsets(origin, scored_cells(origin, Path(shards)), k, bucket, seed, name, rest, console)
    write_subsets(subsets, overwrite, console)


def _subsets(
    origin: Cell, tests: Sequence[Cell], k: int, bucket: int, seed: int, name: str, rest: bool, console: Console
) -> list[Subset]:
    """The shots of one cell and, on request, the rest."""
    ids = origin.table.column("id").to_numpy()
    texts = row_texts(origin)
    tested = set().union(*map(row_texts, tests))
    console.print(f"{title(origin)}: " + (
        f"texts compared with {', '.join(map(title, tests))}" if tests else
        "no test cell of this task and language here, so texts are compared with none"), soft_wrap=True)
    leaked = whole(ids, np.array([text in tested for text in texts], dtype=bool))
    columns = origin.manifest.columns
    unknown = whole(ids, ~has_gold(origin.table, columns)) if holds_gold(columns) else np.zeros(len(ids), dtype=bool)
    shots = draw_shots(origin, ~(leaked | unknown), k, bucket, seed)
    how = f"few_shot: {k} {'per class' if of_type(columns, 'label') else 'examples'}, bucket {bucket}, seed {seed}"
    found = [subset_of(origin, name, "train", how, shots, {
        IN_TEST: len(np.unique(ids[leaked])), NO_GOLD: len(np.unique(ids[unknown & ~leaked]))})]
    if rest:
        of_shots = {text for text, shot in zip(texts, shots, strict=True) if shot}
        same = whole(ids, np.array([text in of_shots for text in texts], dtype=bool)) & ~shots
        found.append(subset_of(origin, f"{name}-rest", "dev", f"the rest of {how}", ~(shots | same), {
            IN_SHOTS: len(np.unique(ids[same]))}))
    return found


def draw_shots(origin: Cell, usable: np.ndarray, k: int, bucket: int, seed: int) -> np.ndarray:
    """The rows of k usable examples per class, (rows,) bool. Raises InputError if a class has fewer."""
    ids, keys = origin.table.column("id").to_numpy(), origin.table.column("key").to_pylist()
    _, first = np.unique(ids, return_index=True)  # windows of an example have its id
    first = first[usable[first]]
    ranks = drawn_order([keys[row] for row in first], seed, bucket)
    manifest = origin.manifest
    if names := of_type(manifest.columns, "label"):
        classes = origin.table.column(names[0]).to_numpy()[first]
        there = Counter(classes.tolist())
        short = [f"{label} {there[index]:,}" for index, label in enumerate(manifest.labels) if there[index] < k]
    else:
        classes = np.zeros(len(first), dtype=np.int64)
        short = [f"{len(first):,} in all"] if len(first) < k else []
    if short:
        raise InputError(f"{title(origin)}: --k {k} {'per class' if names else 'examples'}, but it has fewer with a "
                         f"gold answer and a text that no test cell has: {', '.join(short)}; choose a smaller --k")
    order = np.lexsort((ids[first], ranks, classes))
    place = np.arange(len(order)) - np.searchsorted(classes[order], classes[order])  # within its class
    shots: np.ndarray = np.isin(ids, ids[first[order[place < k]]])
    return shots


def scored_cells(origin: Cell, shards: Path) -> list[Cell]:
    """The test cells of the origin's task, augmentations aside, in its language. Raises InputError for other tokens."""
    task = origin.manifest.task.partition("+")[0]
    found = [open_cell(path) for path in find_cells(shards, task, TEST)
             if same_language(path.name, origin.manifest.language)]
    for cell in found:
        if cell.manifest.tokenizer.fingerprint != origin.manifest.tokenizer.fingerprint:
            raise InputError(f"{title(cell)} has another tokenizer than {title(origin)}, so their texts cannot be "
                             "compared; build one of them again")
    return found


def row_texts(cell: Cell) -> list[tuple[bytes, ...]]:
    """The token ids of each row, as bytes by column."""
    columns = []
    for name in of_type(cell.manifest.columns, "token_ids"):
        column = cell.table.column(name).combine_chunks()
        values, ends = column.flatten().to_numpy(), np.cumsum(column.value_lengths().to_numpy())
        columns.append([values[end - size : end].tobytes()
                        for end, size in zip(ends.tolist(), column.value_lengths().to_pylist(), strict=True)])
    return list(zip(*columns, strict=True))


def whole(ids: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`rows` (bool), and all other windows of their examples."""
    found: np.ndarray = np.isin(ids, ids[rows])
    return found
