"""Files of a folder, archives included, matched by the layouts of a task and grouped into cells.

Input: a task and a folder, or one file. Output: one `CellSource` per split and language, and the names of the files
that no layout reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from data_prep.base.errors import InputError, did_you_mean
from data_prep.languages import OWN_FEATURES
from data_prep.sources.archives import fault, is_file, listed, members, size, unpacked
from data_prep.sources.tables import languages_in, looks_like
from data_prep.suggest import near_language
from data_prep.tasks import TASKS
from data_prep.tasks.task import GOLD_PART, SPLITS, Layout, Task

DOCUMENTATION = ("readme", "license", "licence", "copying", "notice", "citation", "changelog")
MOST_NAMES = 8
DEEPEST = 3  # parts of a path that layouts match


@dataclass(frozen=True)
class CellSource:
    """Files of one cell; more than one only for unlabelled text, read in the order of their names, and for layouts
    with parts, in their order.

    If the layout has a language column, the cell holds the rows of its one file that name `language`.
    """

    split: str
    language: str
    files: tuple[Path, ...]
    layout: Layout

    @property
    def bytes(self) -> int:
        return sum(map(size, self.files))

    def describe(self) -> str:
        """Source of the rows, for the manifest; changes when a file is replaced by one of another size."""
        what = str(self.files[0]) if len(self.files) == 1 else f"{len(self.files)} files of {self.files[0].parent}"
        return f"{what} ({self.bytes} bytes)"


def named_task(name: str) -> Task:
    """The task called `name`. Raises InputError if there is none."""
    if name not in TASKS:
        raise InputError(f"no task {name!r}{did_you_mean(name, TASKS)}; tasks: {', '.join(TASKS)}")
    return TASKS[name]


def split_list(words: str | None, what: str) -> list[str] | None:
    """The parts of a comma list, None for None. Raises InputError for an empty or repeated part."""
    if words is None:
        return None
    parts = [part.strip() for part in words.split(",")]
    if not all(parts) or len(set(parts)) < len(parts):
        raise InputError(f"--{what} must be a comma list without repetition, found {words!r}")
    return parts


def find_sources(task: Task, folder: str | Path) -> list[CellSource]:
    """The cells that `folder` has files for, in the order of splits and language codes.

    A single file or archive is taken by its name, too. Raises InputError if the folder is missing, has no files of the
    task, or has two files for one cell. Of two formats of one content (names that differ in their ending) the one that
    the task declares first is taken, of an archive's member and an unpacked file of that name the file.
    """
    folder, there = _place(task, Path(folder))
    cells: dict[tuple[str, str], tuple[Layout, list[Path]]] = {}
    for file, layout, split, language in _fitting(task, folder, there):
        for key in [(split, one) for one in ([language] if language else languages_in(file, layout, split))]:
            if key in cells and not _belongs(file, layout, *cells[key], folder):
                raise InputError(f"two files for {task.name} {key[0]} {key[1]}: {cells[key][1][0]} and {file}; "
                                 "keep one")
            cells.setdefault(key, (layout, []))[1].append(file)
    if not cells:
        raise InputError(f"{folder}: no files of {task.name}; expected names like "
                         f"{', '.join(layout.example for layout in task.layouts)}; found "
                         f"{''.join(_named(task, folder, there)) or 'no files'}")
    return [CellSource(split, language, _in_order(files, layout, language), layout)
            for (split, language), (layout, files) in sorted(cells.items(), key=lambda c: _order(c[0]))]


def unread_files(task: Task, folder: str | Path, sources: Sequence[CellSource]) -> str:
    """One line that lists the files below `folder` that are in none of `sources`, "" if there are none.

    Hidden files and documentation are left out; other tasks that read some of the files are named.
    """
    read = {file for source in sources for file in source.files}
    folder, there = _place(task, Path(folder))
    unread = "".join(_named(task, folder, [file for file in there if file not in read], read))
    return f"not read for {task.name}: {unread}" if unread else ""


def read_by_others(task: Task, source: str | Path, sources: Sequence[CellSource]) -> str:
    """Ending of a message that names the files of `sources` and the other tasks that read some; empty without those."""
    if not Path(source).is_dir():
        return ""
    names, others = _named(task, Path(source), [file for cell in sources for file in cell.files])
    return f"; {source} holds {names}{others}" if others else ""


def choose(
    there: Iterable[tuple[str, str]], languages: Sequence[str] | None, splits: Sequence[str] | None, where: str
) -> list[tuple[str, str]]:
    """The (split, language) pairs of `there` with the given names. Raises InputError for a name that none has."""
    there = list(there)
    for split in splits or ():
        if split not in SPLITS:
            raise InputError(f"--splits: no split {split!r}{did_you_mean(split, SPLITS)}; splits: {', '.join(SPLITS)}")
    chosen = [(s, lg) for s, lg in there if (not splits or s in splits) and (not languages or lg in languages)]
    wanted = [("split", name, 0) for name in splits or ()] + [("language", name, 1) for name in languages or ()]
    for what, name, column in wanted:
        if name not in {pair[column] for pair in there}:
            known = sorted({pair[column] for pair in there})
            near = near_language(name, known) if what == "language" else did_you_mean(name, known)
            raise InputError(f"{where}: nothing for {what} {name!r}{near}; it has: {', '.join(known)}")
    for what, name, column in wanted:
        if name not in {pair[column] for pair in chosen}:
            found = ", ".join(f"{s}-{lg}" for s, lg in there)
            raise InputError(f"{where}: {what} {name!r} does not occur in this selection; it has: {found}")
    return chosen


def _belongs(file: Path, layout: Layout, other: Layout, files: Sequence[Path], folder: Path) -> bool:
    """True for one more file of the cell that has `files`."""
    if layout.parts:
        return other is layout and file.parent == files[0].parent and file.suffix not in {one.suffix for one in files}
    return other is layout and layout.format == "lines" and file.parent != folder


def _in_order(files: Sequence[Path], layout: Layout, language: str) -> tuple[Path, ...]:
    """The files of a cell in the order of the layout's parts. Raises InputError where one is missing."""
    if not layout.parts:
        return tuple(files)
    found = {file.suffix[1:]: file for file in files}
    first, _, second = language.partition("_")
    names = [part.format(language=language, first=first, second=second) for part in layout.parts]
    if missing := [name for name in names if name not in found and name != GOLD_PART]:
        raise InputError(f"{files[0].with_suffix('')}.{missing[0]} is missing beside {files[0].name}; a cell is made "
                         f"of the files {', '.join(names)}")
    return tuple(found[name] for name in names if name in found)


def _order(key: tuple[str, str]) -> tuple[int, str]:
    return SPLITS.index(key[0]), key[1]


def _place(task: Task, source: Path) -> tuple[Path, list[Path]]:
    """The folder below which names are matched, and its files; of a single file, the nearest folder that fits."""
    if source.is_dir():
        return source, listed(source)
    if not source.is_file():
        raise InputError(f"--source {source}: no such folder; expected 'hub', a folder with the files of {task.name}, "
                         "or a file")
    there = members(source)
    fitting = (above for above in list(source.parents)[:DEEPEST]
               if any(_layout(task, unpacked(file, above)) for file in there))
    return next(fitting, source.parent), there


def fits(task: Task, file: Path) -> bool:
    """True for the name of a file that a layout of `task` fits."""
    return any(_layout(task, unpacked(file, above)) for above in list(file.parents)[:DEEPEST])


def _layout(task: Task, path: PurePath) -> tuple[Layout, str, str] | None:
    """The layout of `task` that fits a path, with split and language ("" if the rows name theirs)."""
    return next(((one, *key) for one in task.layouts if (key := one.match(path.as_posix()))), None)


def _fitting(task: Task, folder: Path, files: Iterable[Path]) -> list[tuple[Path, Layout, str, str]]:
    """The files that a layout of `task` fits, with layout, split and language.

    JSON Lines beside a table of the same name hold the same content (SNLI 1.0, XNLI 1.0), so the table is taken; and
    so does an archive that was unpacked where it lies.
    """
    found = {file: (file, *fit) for file in files if (fit := _layout(task, unpacked(file, folder))) and is_file(file)}
    tables = {unpacked(file, folder).with_suffix("") for file, layout, _, _ in found.values()
              if layout.format != "jsonl"}
    return [one for file, one in found.items()
            if not (one[1].format == "jsonl" and unpacked(file, folder).with_suffix("") in tables)
            and not ((plain := folder / unpacked(file, folder)) != file and plain in found)]


def _named(task: Task, folder: Path, files: Iterable[Path], read: Iterable[Path] = ()) -> tuple[str, str]:
    """(count and names of `files`, but for hidden ones and documentation; the other tasks that read them), or empty."""
    names, readers = [], Counter[str]()
    twins = {unpacked(file, folder).with_suffix(""): file.name for file in read}
    for file in files:
        path = unpacked(file, folder)
        if any(part.startswith((".", "__MACOSX")) for part in path.parts):
            continue
        if (path.name.lower().startswith(DOCUMENTATION) or path.suffix.lower() in (".md", ".pdf")
                or path.as_posix() == OWN_FEATURES):
            continue
        twin = twins.get(path.with_suffix(""))
        note = f"instead of it {twin}" if twin else fault(file)
        names.append(file.relative_to(folder).as_posix() + "/" * file.is_dir() + (f" ({note})" if note else ""))
        readers.update(other.name for other in TASKS.values()
                       if other is not task and not twin and _reads(other, file, path))
    if not names:
        return "", ""
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    others = ", ".join(f"{name} {n:,}" for name, n in readers.most_common())
    hint = f" (read by other tasks: {others})" if others else ""
    return f"{len(names):,} file{'s' * (len(names) > 1)}: {', '.join(names[:MOST_NAMES])}{more}", hint


def _reads(task: Task, file: Path, path: PurePath) -> bool:
    """True if `task` has a layout for this file, by its name and its first line."""
    fit = _layout(task, path)
    return fit is not None and is_file(file) and looks_like(file, fit[0], task)
