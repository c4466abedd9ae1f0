"""List the tasks, kinds and suites: `python -m data_prep tasks`."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from data_prep.tasks import TASKS
from data_prep.tasks.suites import SUITES

NARROWEST_WIDTH = 120  # of output to a file or pipe, so that no table cell is wrapped


def tasks() -> None:
    """List the tasks: kind, metric, labels, languages, and where the hub has them; and the suites."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(console.width, NARROWEST_WIDTH))
    table = Table(title="tasks", show_lines=True)
    for name in ("task", "kind", "metric", "labels", "languages", "hub", "summary"):
        table.add_column(name, overflow="fold")
    for task in TASKS.values():
        table.add_row(
            task.name, task.kind, ", ".join((task.metric, *task.further_metrics)), ", ".join(task.labels) or "none",
            " ".join(task.languages) or "any", task.hub.repo if task.hub else "none (files only)", task.summary)
    console.print(table)
    suites = Table(title="suites (build --suite NAME)", show_lines=True)
    for name in ("suite", "cells", "tasks: languages of each split"):
        suites.add_column(name, overflow="fold")
    for name, parts in SUITES.items():
        suites.add_row(name, str(sum(len(part.splits) * len(part.languages) for part in parts)), "\n".join(
            f"{part.task} {' '.join(part.splits)}: {' '.join(part.languages)}" for part in parts))
    console.print(suites)
    used = {task.kind for task in TASKS.values()}
    console.print(f"Kinds, for data of your own (build NAME --kind KIND --source FILE): {', '.join(sorted(used))}.")
    console.print("Other languages in a source folder or a repository of the hub are built too.")
