"""The main tables of a report in the terminal (rich)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import rich.box
import rich.console
import rich.table
from rich.markup import escape

from trainer.report.document import Table

_COLUMN_WIDTH = 7  # a number, its deviation, the space around them
_TONES = {"muted": "dim", "gain": "bold green", "loss": "bold red", "differs": "bold yellow", "": ""}


def show(tables: Sequence[Table], findings: Sequence[str], console: rich.console.Console | None = None) -> None:
    """Print tables, then the findings."""
    console = console or rich.console.Console()
    for table in (part for whole in tables for part in _fitting(whole, console.width)):
        shown = rich.table.Table(title=escape(table.title), title_justify="left", title_style="bold",
                                 header_style="bold", box=rich.box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
        for position, column in enumerate(table.columns):
            shown.add_column(escape(column.text), justify="left" if position == 0 else "right",
                             max_width=None if position else _name_width(table, console.width))
        for row in table.rows:
            cells = [escape(f"{entry.text}\n{entry.below}".strip()).replace("± ", "±\u00a0") for entry in row]
            styles = [_TONES[entry.tone] for entry in row]
            pairs = zip(cells, styles, strict=True)
            shown.add_row(*(f"[{style}]{cell}[/]" if style else cell for cell, style in pairs))
        console.print(shown)
        if table.notes:
            console.print(" ".join(table.notes) + "\n", markup=False, highlight=False, style="dim")
    for line in findings:
        console.print(f"- {line}", markup=False, highlight=False)


def _fitting(table: Table, width: int) -> list[Table]:
    """Parts of `table` that fit into `width` characters, each with the column of names."""
    names = 2 + _name_width(table, width)
    each = max(1, (width - names) // _COLUMN_WIDTH)
    parts = []
    for start in range(1, max(2, len(table.columns)), each):
        rows = [[row[0], *row[start : start + each]] for row in [table.columns, *table.rows]]
        parts.append(Table(table.title if start == 1 else "(continued)", rows[0], rows[1:]))
    parts[-1] = dataclasses.replace(parts[-1], notes=table.notes)
    return parts


def _name_width(table: Table, width: int) -> int:
    """Characters for the column of names; longer names are folded, so that the numbers stay in sight."""
    return min(max(len(row[0].text) for row in (table.columns, *table.rows)), width // 2)
