"""List the tasks: `python -m data_prep tasks`."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from data_prep.tasks import TASKS

NARROWEST_WIDTH = 120  # of output to a file or pipe, so that no table cell is wrapped


def tasks() -> None:
    """List the tasks: kind, metric, labels, languages, and where the hub has them."""
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
    console.print("Other languages in a source folder or a repository of the hub are built too.")
