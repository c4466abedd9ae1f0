"""Augmentation: the rows of a task and perturbed copies of them, as cells of the task `<task>+<method>`.

Inputs: a method, a task with its source, and the method's own file. Outputs: cells as `build` writes them; row r
becomes the rows r * (copies + 1) (the clean one) to r * (copies + 1) + copies, and key k the keys k#0 to k#copies.

    python -m data_prep augment synonyms xnli --source data/xnli --neighbours words.txt --tokenizer DIR --out shards
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from data_prep.augment import synonyms
from data_prep.base.errors import InputError
from data_prep.build import build_task
from data_prep.kinds import named_kind
from data_prep.planning import Augmentation, Settings
from data_prep.sources.layouts import named_task
from data_prep.tasks import TASKS
from data_prep.workers import Augmenter

# name -> function of (neighbour file, copies, max_neighbours, seed, names of texts): the augmenter and its settings
METHODS: dict[str, Callable[[str, int, int, int, tuple[str, ...]], tuple[Augmenter, str]]] = {
    "synonyms": synonyms.make,
}


def augment(
    method: str, task: str, source: str, neighbours: str, tokenizer: str, out: str, copies: int = 3,
    max_neighbours: int = 8, seed: int = 0, languages: str | None = "en", splits: str | None = "train",
    max_length: int | None = None, workers: int = 0, max_shard_mb: int = 256, overwrite: bool = False,
    drop_placeholders: bool = False,
) -> None:
    """Write a task's rows with perturbed copies of each, as cells of `<task>+<method>`.

    method: `synonyms` (RS-DA: each word drawn from itself and its neighbours). neighbours: a JSON dictionary
    {word: [neighbour, ...]} or a list with two words per line. copies: perturbed rows beside each clean one.
    Other arguments are those of `build`; by default only the English training split is written.
    """
    if method not in METHODS:
        raise InputError(f"no augmentation {method!r}; augmentations: {', '.join(METHODS)}")
    kind = named_task(task).kind
    if not (texts := named_kind(kind).texts):
        fit = [name for name, one in TASKS.items() if named_kind(one.kind).texts]
        raise InputError(f"augment: {task} is of kind {kind}, whose texts may not be rewritten; tasks whose texts may: "
                         f"{', '.join(fit)}")
    augmenter, settings = METHODS[method](neighbours, copies, max_neighbours, seed, texts)
    counts = build_task(task, source, languages, splits, Settings(
        tokenizer, Path(out), max_length, workers, max_shard_mb, overwrite, drop_placeholders,
        Augmentation(method, copies, settings, augmenter)))
    if counts["words"]:
        share = counts["words_with_neighbour"] / counts["words"]
        Console(highlight=False).print(f"{share:.1%} of {counts['words']:,} words have a neighbour")
