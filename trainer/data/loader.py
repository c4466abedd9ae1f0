"""Open the cells of a recipe and iterate over their micro-batches.

Inputs: the recipe's data section. Outputs: `TrainingData` (all cells of a run, checked against each other) and
iterators of `Batch`. Cells are memory-mapped Arrow files; only the rows of a batch are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import DataLoader, Dataset

from data_prep.base.errors import InputError
from data_prep.languages import same_language
from data_prep.shards.columns import holds_gold, number_values
from data_prep.shards.manifest import WINDOW, Manifest
from data_prep.shards.read import Cell, find_cells
from data_prep.suggest import near_cell
from trainer.config.schema import DataSection, MixtureSection
from trainer.data import sampler
from trainer.data.collate import collate
from trainer.data.scratch import open_near
from trainer.data.tasks import Tasks, cell_name, group, task_of
from trainer.kinds import KINDS, Kind, Masking, named_kind
from trainer.kinds.batch import CELL_SHIFT, PART_SHIFT, Batch
from trainer.kinds.languages import language_number, languages_of_texts
from trainer.kinds.tokens import Tokens, tokens_of

# Letters as in manifests, and `*`; no dots, so that a cell lies below the root.
CELL_PATTERN = re.compile(r"[A-Za-z0-9_+*-]+(/[A-Za-z0-9_+*-]+){2}")
BUILD_OR_NAME = "build it with `python -m data_prep build`, or name another folder of shards with --data.shards"


class Examples(Dataset[Batch]):
    """Rows of one or several cells of a task under one index; item (epoch, indices[, partners]) is a batch.

    masking: needed if the cells' kind masks its inputs at random, unused otherwise. task: name in the batches, of one
    of several tasks of a run. numbers: of the cells, in the example ids; None counts from 0.
    """

    def __init__(self, cells: Sequence[Cell], max_length: int, pad_to: int | None = None,
                 masking: Masking | None = None, task: str = "", numbers: Sequence[int] | None = None) -> None:
        self.cells = cells
        self.task = task
        self.numbers = list(range(len(cells))) if numbers is None else list(numbers)
        self.tokens: Tokens = tokens_of(cells[0].manifest.tokenizer)
        self.max_length = max_length
        self.pad_to = pad_to
        self.kind: Kind = named_kind(cells[0].manifest.kind)
        self.masking = masking
        pairs = [languages_of_texts(cell.manifest.language) for cell in cells]
        # of first and second texts, by number of the cell
        self.languages = np.zeros((max(self.numbers) + 1, 2), dtype=np.int64)
        self.languages[self.numbers] = [[language_number(code) for code in pair] for pair in pairs]
        if self.kind.mask is not None and masking is None:
            raise ValueError(f"examples of kind {cells[0].manifest.kind} are masked at random, found no masking")
        self.starts = np.cumsum([0] + [len(cell) for cell in cells])
        columns = [number_values(cell.table.column("length")) for cell in cells]
        self.lengths = np.minimum(np.concatenate(columns).astype(np.int64), max_length)
        if pad_to is not None and pad_to < self.lengths.max():
            raise InputError(f"data.pad_to {pad_to} is shorter than the longest input of {self.lengths.max()} tokens; "
                             "set it at least that long")

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, item: sampler.Item) -> Batch:
        if len(item) == 2:
            return self._collate(*item, self.pad_to)
        epoch, indices, partners = item
        # Padded to one length, so that an example and its partner can be mixed position by position.
        longest = self.pad_to or int(self.lengths[np.concatenate([indices, partners])].max())
        partner = self._collate(epoch, partners, longest)
        return replace(self._collate(epoch, indices, longest), partner=partner)

    def _collate(self, epoch: int, indices: np.ndarray, pad_to: int | None) -> Batch:
        table, keys = self.rows(indices)
        texts, owners = self.kind.sequences(table)
        if len(owners) > len(keys):  # each has a number of its own
            keys = keys[owners] + ((np.arange(len(owners)) - np.searchsorted(owners, owners)) << PART_SHIFT)
        languages = self.languages[keys >> CELL_SHIFT]
        batch = collate(texts, keys, self.tokens, self.max_length, pad_to, languages)
        batch = replace(batch, task=self.task, targets=self.kind.targets(table, batch))
        if self.kind.mask is not None and self.masking is not None:
            batch = self.kind.mask(batch, self.tokens, self.masking, epoch)
        self._check_ids(batch)
        return batch

    def rows(self, indices: np.ndarray) -> tuple[pa.Table, np.ndarray]:
        """(rows, example ids (B,)) in the order of `indices`."""
        keys = np.empty(len(indices), dtype=np.int64)
        owners = np.searchsorted(self.starts, indices, side="right") - 1
        tables, order = [], []
        for owner in np.unique(owners):
            places = np.flatnonzero(owners == owner)
            tables.append(self.cells[owner].take(indices[places] - self.starts[owner]))
            keys[places] = (self.numbers[owner] << CELL_SHIFT) + number_values(tables[-1]["id"])
            if self.kind.has_windows:
                keys[places] += number_values(tables[-1][WINDOW]) << PART_SHIFT
            order.append(places)
        table = tables[0] if len(tables) == 1 else pa.concat_tables(tables).take(np.argsort(np.concatenate(order)))
        return table, keys

    def _check_ids(self, batch: Batch) -> None:
        """Raise InputError for ids outside the vocabulary, which opening a cell does not look for: an embedding would
        fail without saying where, or on a GPU end the process."""
        low, high = int(batch.input_ids.min()), int(batch.input_ids.max())
        if low < 0 or high >= self.tokens.vocab_size:
            cells = ", ".join(str(cell.path) for cell in self.cells)[:300]
            raise InputError(f"{cells}: token ids {low}..{high} outside a vocabulary of {self.tokens.vocab_size}; find "
                             "the damage with `python -m data_prep verify`")


@dataclass(frozen=True)
class TrainingData:
    """Training and dev cells of a run, checked against each other."""

    train: list[Cell]
    tasks: Tasks
    """The training cells by task: several make a mixture."""
    dev: dict[str, Cell]
    """Dev cells by name, `task/split/language`."""
    select_on: str | None
    """Name of the dev cell that selects the best checkpoint; None without dev cells."""
    dev_task: dict[str, str]
    """The task of each dev cell, by its name."""
    max_length: int

    @property
    def rows_sha256(self) -> dict[str, str]:
        """Hash of the rows of every training and dev cell, by name."""
        cells = [*self.train, *self.dev.values()]
        return {cell_name(cell.path): cell.manifest.rows_sha256 for cell in cells}

    @property
    def task(self) -> str:
        """The task of the selection cell, whose head `best/` holds; without one, the first."""
        return self.dev_task[self.select_on] if self.select_on else next(iter(self.tasks))

    @property
    def manifest(self) -> Manifest:
        """Manifest of the first training cell of `task`: kind, labels, metrics and tokenizer."""
        return self.tasks[self.task][0].manifest

    def name_in_batches(self, task: str) -> str:
        """Name of a task in its batches: none where there is only one."""
        return task if len(self.tasks) > 1 else ""

    @property
    def manifests(self) -> dict[str, Manifest]:
        """Manifest of the first training cell of each task."""
        return {task: cells[0].manifest for task, cells in self.tasks.items()}


def open_training_data(section: DataSection, mixture: MixtureSection | None = None) -> TrainingData:
    """Open all cells of `section`; None for a recipe without settings in `mixture`.

    Raises InputError if a cell is missing or does not fit the others of its task.
    """
    mixture = mixture or MixtureSection()
    train = [open_near(path, section.verify) for path in _expand(section.shards, section.train, "data.train")]
    dev_paths = _expand(section.shards, section.dev, "data.dev")
    for name in (*map(cell_name, dev_paths), section.select_on or ""):
        if "/test/" in name:
            key = "data.select_on" if name == section.select_on else "data.dev"
            raise InputError(f"{key}: {name} is a test cell, and a checkpoint must not be chosen on what it is scored "
                             "on; name a cell of another split, such as dev")
    dev = {cell_name(path): open_near(path, section.verify) for path in dev_paths}
    tasks = group(train, mixture.same_task, by_name=mixture != MixtureSection())
    for cells in tasks.values():
        check_known(cells[0])
    dev_task = {name: task_of(cell, tasks, mixture.same_task) for name, cell in dev.items()}
    for cell in [*train, *dev.values()]:
        if holds_gold(cell.manifest.columns) and not cell.manifest.has_labels:
            raise InputError(f"{cell.path}: no labels in this cell; it can be predicted on, not trained or selected on")
    first = train[0].manifest
    for cell in [*train, *dev.values()]:
        check_windows(cell, section.max_length or first.max_length, "data.max_length")
    longest = min(cell.manifest.max_length for cell in train)
    if section.max_length and section.max_length > longest:
        raise InputError(f"data.max_length {section.max_length}, but {train[0].path} was built with max_length "
                         f"{longest}; build it again with --max_length {section.max_length}")
    return TrainingData(train, tasks, dev, _selection(section, dev, first.task), dev_task,
                        section.max_length or longest)


def training_batches(
    examples: Examples, section: DataSection, batch_size: int, seed: int, first_step: int, steps: int,
    rank: int, world_size: int, accumulation: int, choose: sampler.Choice | None = None,
) -> Iterator[list[Batch]]:
    """This rank's `accumulation` micro-batches of each step from `first_step` on; `choose` picks partners."""
    order = sampler.micro_batches(
        examples.lengths, batch_size, seed, section.bucket_by_length, first_step, steps,
        rank, world_size, accumulation, choose)
    yield from load(examples, order, section, steps - first_step, accumulation)


def load(
    examples: Dataset[Batch], order: Iterator[Any], section: DataSection, steps: int, accumulation: int
) -> Iterator[list[Batch]]:
    """The batches of the items in `order`, `accumulation` for each of `steps`."""
    loader = DataLoader(examples, sampler=order, batch_size=None, num_workers=section.workers,
                        pin_memory=torch.cuda.is_available(), persistent_workers=False)
    batches = iter(loader)
    for _ in range(steps):
        yield [next(batches) for _ in range(accumulation)]


def evaluation_order(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Row indices of each batch of an evaluation, longest first."""
    order = np.argsort(-lengths, kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def evaluation_batches(
    examples: Examples, batch_size: int, rank: int = 0, world_size: int = 1
) -> Iterator[tuple[np.ndarray, Batch]]:
    """(row indices, batch) over all examples, longest first, distributed over the ranks.

    Every rank yields the same number of batches, as a ZeRO-3 forward pass needs all ranks: a rank that has none left
    repeats the shortest batch with no row indices, whose result is to be ignored.
    """
    batches = evaluation_order(examples.lengths, batch_size)
    rounds = -(-len(batches) // world_size)
    for turn in range(rounds):
        number = turn * world_size + rank
        if number < len(batches):
            yield batches[number], examples[0, batches[number]]
        else:
            yield np.empty(0, dtype=np.int64), examples[0, batches[-1]]


def _expand(root: str, patterns: Sequence[str], key: str) -> list[Path]:
    """Cell folders below `root` that match `patterns` (`*` is a wildcard), in the order given."""
    paths: list[Path] = []
    if not Path(root).is_dir():
        raise InputError(f"{root}: no such folder, expected the shards that `python -m data_prep build` wrote; name "
                         "theirs with --data.shards")
    for pattern in patterns:
        if not CELL_PATTERN.fullmatch(pattern):
            raise InputError(f"{key}: expected task/split/language, found {pattern!r}")
        if "*" in pattern:
            matches = [path for path in find_cells(root) if Path(cell_name(path)).match(pattern)]
            if not matches:
                raise InputError(f"{key}: no finished cell below {root} matches {pattern!r}{near_cell(root, pattern)}; "
                                 f"{BUILD_OR_NAME}")
        else:
            matches = [Path(root, pattern)]
            if not matches[0].is_dir():
                raise InputError(f"{key}: no cell {pattern} below {root}{near_cell(root, pattern)}; {BUILD_OR_NAME}")
        paths += [path for path in matches if path not in paths]
    return paths


def check_known(cell: Cell) -> None:
    """Raise InputError for a cell of an unknown kind, with metrics or columns that are not those of its kind."""
    manifest = cell.manifest
    try:
        kind = named_kind(manifest.kind)
    except InputError as error:
        raise InputError(f"{cell.path}: {error}") from None
    if others := [metric for metric in manifest.metrics if metric not in kind.metrics]:
        raise InputError(f"{cell.path}: metric {others[0]!r} is none of kind {manifest.kind}; its metrics: "
                         f"{', '.join(kind.metrics)}")
    if missing := [name for name in kind.columns if name not in manifest.columns]:
        raise InputError(f"{cell.path}: kind {manifest.kind} without the columns {', '.join(missing)}; build the cell "
                         "again")


def check_windows(cell: Cell, max_length: int, key: str) -> None:
    """Raise InputError for windows longer than an input of `max_length` tokens: cut, they would lose predictions."""
    if KINDS[cell.manifest.kind].has_windows and cell.manifest.max_length > max_length:
        raise InputError(f"{cell.path}: built in windows of {cell.manifest.max_length} tokens, {key} is {max_length}; "
                         f"build it again with --max_length {max_length}")


def _selection(section: DataSection, dev: dict[str, Cell], task: str) -> str | None:
    """Dev cell to select on: the given one, the English one (of `task`, if several), or the only one."""
    if section.select_on is not None:
        if section.select_on not in dev:
            raise InputError(f"data.select_on {section.select_on!r} is not among data.dev: {', '.join(dev) or 'none'}")
        return section.select_on
    english = [name for name, cell in dev.items() if same_language(cell.manifest.language, "en")]
    own = [name for name in english if dev[name].manifest.task == task.partition("+")[0]]
    english = own if len(english) > 1 else english
    if len(english) == 1 or len(dev) == 1:
        return (english or list(dev))[0]
    if dev:
        raise InputError("data.select_on: name the dev cell that picks the best checkpoint; "
                         f"English ones, {len(english)} of task {task}, among {', '.join(dev)}")
    return None
