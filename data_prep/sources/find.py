"""Cells of a source: a folder, a file, an archive or the hub, behind one record.

Input: a task and the words of `--source`. Output: one `Found` per split and language, and a line on the files that
nothing reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from data_prep.kinds.rows import TextBatch
from data_prep.sources.archives import file_sha256
from data_prep.sources.batches import Content, content_sha256, without_placeholders
from data_prep.sources.cells import read_cell
from data_prep.sources.hub import describe_hub, hub_cells, load_hub_split, read_hub
from data_prep.sources.layouts import CellSource, choose, find_sources, unread_files
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
    rows: int | None = None


def cells_of(
    task: Task, source: str, languages: Sequence[str] | None, splits: Sequence[str] | None, drop: bool
) -> tuple[list[Found], str]:
    """The requested cells of `source`, and a line that lists the files of a folder that are not read, or ""."""
    place, _, repo = source.partition(":")
    if place == "hub":
        repo = repo or (task.hub.repo if task.hub else "")
        chosen = choose(hub_cells(task, repo, languages, splits), languages, splits, source)
        return [_hub_cell(task, repo, split, language, drop) for split, language in chosen], ""
    found = find_sources(task, source)
    chosen = choose([(cell.split, cell.language) for cell in found], languages, splits, source)
    cells = [file_cell(task, cell, drop) for cell in found if (cell.split, cell.language) in chosen]
    return cells, unread_files(task, source, found)


def file_cell(task: Task, cell: CellSource, drop: bool, source: str = "") -> Found:
    """A cell of files; `source` describes it in the manifest, by default by the files' names and sizes."""
    def read(skipped: Counter[str], kept: Counter[str], content: Content) -> Iterator[TextBatch]:
        return without_placeholders(read_cell(cell, task, skipped, content), task, drop, skipped, kept)

    return Found(cell.split, cell.language, source or cell.describe(), read,
                 lambda: content_sha256([file_sha256(file) for file in cell.files]))


def _hub_cell(task: Task, repo: str, split: str, language: str, drop: bool) -> Found:
    data = load_hub_split(task, repo, split, language)
    name, code = describe_hub(task, repo, split, language), language_code(language)

    def read(skipped: Counter[str], kept: Counter[str], content: Content) -> Iterator[TextBatch]:
        return without_placeholders(read_hub(data, task, name, skipped, content, code), task, drop, skipped, kept)

    def source_sha256() -> str:
        content = Content()
        for _ in read(Counter(), Counter(), content):
            pass
        return content.sha256

    return Found(split, code, name, read, source_sha256, len(data))


