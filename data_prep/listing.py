"""List the tasks by kind, and the suites, or all about one of them: `python -m data_prep tasks [NAME]`."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from data_prep.base.errors import InputError, did_you_mean
from data_prep.tasks import TASKS
from data_prep.tasks.suites import SUITES
from data_prep.tasks.task import Task

NARROWEST_WIDTH = 120  # of output to a file or pipe, so that few table cells are wrapped
MOST_LANGUAGES = 4  # named in the list of all tasks


def tasks(*name: str) -> None:
    """List the tasks by kind, and the suites; with NAME, all about one task or suite.

    Of a task: labels, languages, its repository on the hub, and the names of its publishers' files.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(console.width, NARROWEST_WIDTH))
    if not name:
        _list_all(console)
    elif len(name) == 1 and name[0] in TASKS:
        _show_task(TASKS[name[0]], console)
    elif len(name) == 1 and name[0] in SUITES:
        _show_suite(name[0], console)
    else:
        near = did_you_mean(" ".join(name), [*TASKS, *SUITES])
        raise InputError(f"no task or suite {' '.join(name)!r}{near}; tasks: {', '.join(TASKS)}; suites: "
                         f"{', '.join(SUITES)}")


def _list_all(console: Console) -> None:
    by_kind: dict[str, list[Task]] = {}
    for task in TASKS.values():
        by_kind.setdefault(task.kind, []).append(task)
    for kind, found in by_kind.items():
        table = Table(title=f"kind {kind}", title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in ("task", "metrics", "languages", "summary"):
            table.add_column(column)
        for task in found:
            table.add_row(task.name, ", ".join((task.metric, *task.further_metrics)), _languages(task), task.summary)
        console.print(table)
        console.print()
    console.print("suites (build --suite NAME): " + ", ".join(
        f"{name} ({sum(len(part.splits) * len(part.languages) for part in parts)} cells)"
        for name, parts in SUITES.items()))
    console.print("All about one of them: python -m data_prep tasks NAME. Data of your own: build NAME --kind KIND "
                  "--source FILE. Other languages in a source are built too.")


def _languages(task: Task) -> str:
    if len(task.languages) <= MOST_LANGUAGES:
        return " ".join(task.languages) or "any"
    return f"{len(task.languages)}: {' '.join(task.languages[:MOST_LANGUAGES])} .."


def _show_task(task: Task, console: Console) -> None:
    table = Table(title=f"{task.name}: {task.summary}", title_justify="left", box=None, show_header=False,
                  pad_edge=False)
    for name, value in (
        ("kind", task.kind), ("metrics", ", ".join((task.metric, *task.further_metrics))),
        ("labels", ", ".join(task.labels) or "none"), ("languages", " ".join(task.languages) or "any"),
        ("parallel splits", ", ".join(task.parallel) or "none"), ("longest input", f"{task.max_length} tokens"),
        ("hub", task.hub.repo if task.hub else "none (files only)"),
        ("files", "\n".join(layout.example for layout in task.layouts)),
    ):
        table.add_row(name, value)
    console.print(table)


def _show_suite(name: str, console: Console) -> None:
    table = Table(title=f"suite {name}", title_justify="left", box=None, pad_edge=False)
    for column in ("task", "splits", "languages"):
        table.add_column(column)
    for part in SUITES[name]:
        table.add_row(part.task, " ".join(part.splits), " ".join(part.languages))
    console.print(table)
