"""Tasks of a run: groups of training cells, each with a head of its own, and the task that every dev cell belongs to.

Without settings in `mixture`, cells that agree in kind, labels and columns are one task, named after the first. With
any, a cell belongs to the task in its path; a variation (`mnli+synonyms`) to the task before the `+`, where kind,
labels and columns agree, else to one of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from data_prep.base.errors import InputError
from data_prep.shards.manifest import Manifest
from data_prep.shards.read import Cell

ALIKE = ("kind", "labels", "columns")
Tasks = dict[str, list[Cell]]
"""Training cells by task, tasks and cells in the order of `data.train`."""


def cell_name(path: Path) -> str:
    """`task/split/language` of a cell's folder."""
    return "/".join(path.parts[-3:])


def group(cells: Sequence[Cell], same_task: Mapping[str, str], by_name: bool) -> Tasks:
    """The tasks of training cells. same_task: `mixture.same_task`; by_name: the recipe has settings in `mixture`.

    Raises InputError where cells of a task differ in kind, labels or columns, or any in their tokenizer.
    """
    _check_same_task(same_task, {_task(cell) for cell in cells})
    firsts: dict[str, Cell] = {}
    owners: dict[Path, str] = {}
    for cell in sorted(cells, key=lambda cell: by_name and "+" in _task(cell)):  # a variation never leads its task
        name = _task(cell)
        alike = [task for task, first in firsts.items() if not _difference(first, cell)]
        owner = alike[0] if alike and not by_name else _owner(name, same_task)
        if "+" in name and name not in same_task and owner in firsts and _difference(firsts[owner], cell):
            owner = name
        owners[cell.path] = owner
        firsts.setdefault(owner, cell)
    tasks: Tasks = {}
    for cell in cells:
        tasks.setdefault(owners[cell.path], []).append(cell)
    for name, own in tasks.items():
        for cell in own[1:]:
            _check_alike(own[0], cell, name if len(tasks) > 1 else "")
    for cell in cells[1:]:
        _check_tokenizer(cells[0].manifest, cell)
    return tasks


def task_of(cell: Cell, tasks: Tasks, same_task: Mapping[str, str]) -> str:
    """The task whose head predicts a dev cell: that of its name, else the first whose kind and labels are the cell's.

    Raises InputError where there is none, or the cell differs from its task's, or in its tokenizer.
    """
    one = len(tasks) == 1
    fitting = [task for task, own in tasks.items() if not _difference(own[0], cell)]
    named = [name for name in (_task(cell), _owner(_task(cell), same_task)) if name in tasks]
    task = next(iter([*named, *fitting] if not one else tasks), None)
    if task is None:
        kinds = ", ".join(f"{name} ({own[0].manifest.kind})" for name, own in tasks.items())
        raise InputError(f"{cell.path}: kind {cell.manifest.kind}, and no task of the mixture has its kind, labels and "
                         f"columns: {kinds}; add training cells of its task, or leave it out")
    _check_alike(tasks[task][0], cell, "" if one else task)
    _check_tokenizer(next(iter(tasks.values()))[0].manifest, cell)
    return task


def nearest(name: str, known: Iterable[str]) -> str:
    """Ending of an error on an unknown task: the nearest of the known ones, else all of them."""
    close = get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"tasks: {', '.join(known)}"


def _task(cell: Cell) -> str:
    return cell.path.parts[-3]


def _owner(name: str, same_task: Mapping[str, str]) -> str:
    base = name.partition("+")[0]
    return same_task.get(name) or same_task.get(base) or base


def _check_same_task(same_task: Mapping[str, str], names: set[str]) -> None:
    known = sorted(names | {name.partition("+")[0] for name in names})
    for name, other in same_task.items():
        for task in (name, other):
            if task not in known:
                raise InputError(f"mixture.same_task: no training cell of task {task!r}; {nearest(task, known)}")
        if other in same_task:
            raise InputError(f"mixture.same_task: {name} counts as {other}, which counts as {same_task[other]}; name "
                             "the last one for both")


def _difference(first: Cell, cell: Cell) -> str | None:
    """The first of ALIKE in which two cells differ."""
    return next((what for what in ALIKE if getattr(first.manifest, what) != getattr(cell.manifest, what)), None)


def _check_alike(first: Cell, cell: Cell, task: str) -> None:
    """Raise InputError for a cell whose kind, labels or columns differ from its task's; task: its name, if several."""
    if what := _difference(first, cell):
        found, expected = getattr(cell.manifest, what), getattr(first.manifest, what)
        of_task = f" of task {task}" if task else ""
        raise InputError(f"{cell.path}: {what} {found}, but the first training cell{of_task} has {expected}")


def _check_tokenizer(first: Manifest, cell: Cell) -> None:
    if cell.manifest.tokenizer.fingerprint != first.tokenizer.fingerprint:
        raise InputError(f"{cell.path} was built with another tokenizer ({cell.manifest.tokenizer.name}) than the "
                         f"first training cell ({first.tokenizer.name}); build both with the same one")
