"""Cells of a source: a folder, a file, an archive or the hub, behind one record.

Input: a task and the words of `--source`. Output: one `Found` per split and language, and a line on the files that
nothing reads.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import datasets

from data_prep.base.errors import InputError
from data_prep.kinds.rows import TextBatch
from data_prep.languages import same_language
from data_prep.sources.archives import file_sha256
from data_prep.sources.batches import Content, content_sha256, without_placeholders
from data_prep.sources.cells import read_cell
from data_prep.sources.hub import describe_hub, hub_cells, hub_languages, hub_splits, load_hub_split, read_hub
from data_prep.sources.hub_files import fetched, file_source, files_there, is_table, open_parquet
from data_prep.sources.layouts import MOST_NAMES, CellSource, choose, find_sources, read_by_others, unread_files
from data_prep.sources.revisions import COMMIT, Revisions
from data_prep.sources.tables import language_code
from data_prep.tasks.task import Task

# batches of a source's rows; counts by reason the rows that are left out, and those that are kept but deserve a note
Reader = Callable[[Counter[str], Counter[str], Content], Iterator[TextBatch]]


@dataclass(frozen=True)
class Found:
    """One cell of a source: its names, a description for the manifest, and functions that read and hash it."""

    split: str
    language: str
    source: str
    read: Reader
    source_sha256: Callable[[], str]
    revision: str = ""
    """Commit of the hub's repository, if it is known."""
    folder: Path | None = None
    """Folder of the files, if they are no single file or the hub's."""


def cells_of(
    task: Task, source: str, languages: Sequence[str] | None, splits: Sequence[str] | None, drop: bool,
    pins: Revisions,
) -> tuple[list[Found], str]:
    """The requested cells of `source`, and a line that lists the files of a folder that are not read, or ""."""
    place, _, repo = source.partition(":")
    if place == "hub":
        repo, revision = _repository(task, repo, pins)
        files = files_there(task.hub, repo, revision) if task.hub and task.hub.files else {}
        there = list(files) or hub_cells(task, repo, languages, splits, revision)
        return [hub_cell(task, repo, split, language, drop, revision, files.get((split, language)))
                for split, language in choose(there, languages, splits, source)], ""
    found = find_sources(task, source)
    chosen = choose([(cell.split, cell.language) for cell in found], languages, splits, source)
    cells = [replace(file_cell(task, cell, drop), folder=Path(source)) for cell in found
             if (cell.split, cell.language) in chosen]
    return cells, unread_files(task, source, found)


def check_first_rows(task: Task, source: str, cells: Sequence[Found]) -> None:
    """Raise InputError where the first rows of a cell of files are none of the task's: tasks share names of files.

    This comes before a tokenizer is fetched, and before a finished cell of that name is said to have another source.
    """
    for cell in cells:
        if cell.folder is None or not task.labels:  # without labels a plan says that they come with the data
            continue
        try:
            next(cell.read(Counter(), Counter(), Content()), None)
        except InputError as error:
            raise InputError(f"{error}{read_by_others(task, source, find_sources(task, source))}") from None


def cells_there(
    task: Task, source: str, splits: Sequence[str], languages: Sequence[str], drop: bool, pins: Revisions
) -> tuple[dict[tuple[str, str], Found | str], str]:
    """For each (split, language) asked for its cell, or the reason why it is missing; and the line on unread files.

    Another code of the same language will do, see `data_prep.languages`; the cell has the source's own.
    """
    wanted = [(split, language) for split in splits for language in languages]
    found: dict[tuple[str, str], Found] = {}
    unread = ""
    try:
        if source.partition(":")[0] == "hub":
            found = _hub_there(task, source.partition(":")[2], splits, languages, drop, pins)
        else:
            sources = find_sources(task, source)
            found = {(cell.split, cell.language): replace(file_cell(task, cell, drop), folder=Path(source))
                     for cell in sources}
            unread = unread_files(task, source, sources)
    except InputError as error:
        return dict.fromkeys(wanted, str(error)), ""
    there = ", ".join(f"{split}-{language}" for split, language in list(found)[:MOST_NAMES])
    return {(split, language): found.get((split, _same(language, [one for s, one in found if s == split]))) or
            f"{source} has no {split} in {language}; it has: {there or 'nothing'}{' ...' * (len(found) > MOST_NAMES)}"
            for split, language in wanted}, unread


def _hub_there(
    task: Task, repo: str, splits: Sequence[str], languages: Sequence[str], drop: bool, pins: Revisions
) -> dict[tuple[str, str], Found]:
    repo, revision = _repository(task, repo, pins)
    files = files_there(task.hub, repo, revision) if task.hub and task.hub.files else {}
    pairs = list(files)
    if not pairs:
        there = hub_languages(task, repo, None, revision)
        pairs = [(split, one) for one in dict.fromkeys(_same(language, there) for language in languages) if one
                 for split in hub_splits(task, repo, one, revision)]
    return {(split, language_code(one)): hub_cell(task, repo, split, one, drop, revision, files.get((split, one)))
            for split, one in pairs if split in splits}


def _same(language: str, there: Sequence[str]) -> str:
    """The code among `there` of the same language, itself if it is there; "" for none."""
    code = language_code(language)
    return next((one for one in there if language_code(one) == code), "") or next(
        (one for one in there if same_language(one, code)), "")


def _repository(task: Task, repo: str, pins: Revisions) -> tuple[str, str | None]:
    """The repository, by default the task's own, and its commit or else the revision that the task asks for."""
    own = task.hub.repo if task.hub else ""
    repo = repo or own
    revision = task.hub.revision if task.hub and repo == own else None
    return repo, (pins.commit(repo, revision) if repo else None) or revision


def file_cell(task: Task, cell: CellSource, drop: bool, source: str = "") -> Found:
    """A cell of files; `source` describes it in the manifest, by default by the files' names and sizes."""
    def read(skipped: Counter[str], kept: Counter[str], content: Content) -> Iterator[TextBatch]:
        return without_placeholders(read_cell(cell, task, skipped, content), task, drop, skipped, kept)

    return Found(cell.split, cell.language, source or cell.describe(), read,
                 lambda: content_sha256([file_sha256(file) for file in cell.files]))


def hub_cell(
    task: Task, repo: str, split: str, language: str, drop: bool, revision: str | None, file: str | None = None
) -> Found:
    """A cell of the hub, which is fetched when it is first read; `file` holds it if the repository has no tables."""
    commit = revision if re.fullmatch(COMMIT, revision or "") else None
    name = f"hub:{repo} {file}" if file else describe_hub(task, repo, split, language)
    path = cache(partial(fetched, repo, file or "", revision))

    @cache
    def data() -> datasets.Dataset:
        return open_parquet(path()) if file else load_hub_split(task, repo, split, language, revision)

    def read(skipped: Counter[str], kept: Counter[str], content: Content) -> Iterator[TextBatch]:
        if file and task.hub and is_table(task.hub):
            batches = read_cell(file_source(task.hub, split, language, path()), task, skipped, content)
        else:
            batches = read_hub(data(), task, name, skipped, content, language_code(language))
        return without_placeholders(batches, task, drop, skipped, kept)

    def source_sha256() -> str:
        content = Content()
        for _ in read(Counter(), Counter(), content):
            pass
        return content.sha256

    return Found(split, language_code(language), name, read, source_sha256, commit or "")
