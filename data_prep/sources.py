"""Find what there is to build: the files of a folder, by the layouts of the task, grouped into cells.

Input: a task and a folder. Output: one `CellSource` per split and language, checked before anything is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import InputError
from data_prep.tasks import TASKS
from data_prep.tasks.task import SPLITS, Layout, Task


@dataclass(frozen=True)
class CellSource:
    """The files that make one cell; more than one only for unlabelled text, read in the order of their names."""

    split: str
    language: str
    files: tuple[Path, ...]
    layout: Layout

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.files)

    def describe(self) -> str:
        """Where the rows come from, for the manifest; changes when a file is replaced by one of another size."""
        what = str(self.files[0]) if len(self.files) == 1 else f"{len(self.files)} files of {self.files[0].parent}"
        return f"{what} ({self.bytes} bytes)"


def named_task(name: str) -> Task:
    """The task called `name`; InputError where there is none."""
    if name not in TASKS:
        raise InputError(f"no task {name!r}; tasks: {', '.join(TASKS)}")
    return TASKS[name]


def split_list(words: str | None, what: str) -> list[str] | None:
    """The parts of a comma list, None for None. Raises InputError for an empty or a repeated part."""
    if words is None:
        return None
    parts = [part.strip() for part in words.split(",")]
    if not all(parts) or len(set(parts)) < len(parts):
        raise InputError(f"--{what} must be names with commas between them, each once, found {words!r}")
    return parts


def find_sources(task: Task, folder: str | Path) -> list[CellSource]:
    """Every cell that `folder` has files for, in the order of splits and language codes.

    Raises InputError where the folder is missing, has nothing of the task, or has two files for one cell.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"--source {folder}: no such folder; expected 'hub' or a folder with the files of {task.name}")
    cells: dict[tuple[str, str], tuple[Layout, list[Path]]] = {}
    for file in sorted([*folder.glob("*"), *folder.glob("*/*"), *folder.glob("*/*/*")]):
        path = file.relative_to(folder).as_posix()
        layout = next((one for one in task.layouts if one.match(path)), None)
        key = layout.match(path) if layout else None
        if layout is None or key is None or not file.is_file():
            continue
        if key in cells and not (layout.lines and cells[key][0] is layout and file.parent != folder):
            raise InputError(f"two files for {task.name} {key[0]} {key[1]}: {cells[key][1][0]} and {file}; keep one")
        cells.setdefault(key, (layout, []))[1].append(file)
    if not cells:
        expected = "train-en.txt" if task.kind == "mlm" else "train-en.tsv"
        raise InputError(f"{folder}: no files of {task.name}; expected names like {expected} or the publisher's own")
    return [CellSource(split, language, tuple(files), layout)
            for (split, language), (layout, files) in sorted(cells.items(), key=lambda c: _order(c[0]))]


def choose(
    there: Iterable[tuple[str, str]], languages: Sequence[str] | None, splits: Sequence[str] | None, where: str
) -> list[tuple[str, str]]:
    """The (split, language) pairs of `there` that were asked for; InputError for a name that nothing answers to."""
    there = list(there)
    for split in splits or ():
        if split not in SPLITS:
            raise InputError(f"--splits: no split {split!r}; splits: {', '.join(SPLITS)}")
    chosen = [(s, lg) for s, lg in there if (not splits or s in splits) and (not languages or lg in languages)]
    wanted = [("split", name, 0) for name in splits or ()] + [("language", name, 1) for name in languages or ()]
    for what, name, column in wanted:
        if name not in {pair[column] for pair in there}:
            found = ", ".join(sorted({pair[column] for pair in there}))
            raise InputError(f"{where}: nothing for {what} {name!r}; it has: {found}")
    for what, name, column in wanted:
        if name not in {pair[column] for pair in chosen}:
            found = ", ".join(f"{s}-{lg}" for s, lg in there)
            raise InputError(f"{where}: {what} {name!r} is there, but not in this selection; it has: {found}")
    return chosen


def _order(key: tuple[str, str]) -> tuple[int, str]:
    return SPLITS.index(key[0]), key[1]
