"""Tables on the terminal, a line per row whatever its width."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import rich.box
import rich.console
import rich.table
from rich.markup import escape

WIDTH = 1000  # rows are not wrapped to the terminal's width


def show_table(columns: Sequence[tuple[str, Sequence[str]]], right: Collection[str] = (), title: str = "") -> None:
    """Print columns (title, texts) beside each other, without those that are empty. right: titles of numbers."""
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title=escape(title) or None,
                             title_justify="left", title_style="bold")
    shown = [(head, texts) for head, texts in columns if any(texts)]
    for head, _ in shown:
        table.add_column(escape(head), justify="right" if head in right else "left")
    for row in zip(*(texts for _, texts in shown), strict=True):
        table.add_row(*map(escape, row))
    rich.console.Console(width=WIDTH, highlight=False).print(table)
