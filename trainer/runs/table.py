"""Tables on the terminal, a line per row; where the terminal is too narrow for them, a few lines per row."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import rich.box
import rich.console
import rich.table
from rich.markup import escape

from data_prep.base.folding import UNLIMITED, fold, terminal_width


def show_table(columns: Sequence[tuple[str, Sequence[str]]], right: Collection[str] = (), title: str = "") -> None:
    """Print columns (title, texts) beside each other, without those that are empty. right: titles of numbers."""
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title=escape(title) or None,
                             title_justify="left", title_style="bold")
    shown = [(head, texts) for head, texts in columns if any(texts)]
    for head, _ in shown:
        table.add_column(escape(head), justify="right" if head in right else "left")
    for row in zip(*(texts for _, texts in shown), strict=True):
        table.add_row(*map(escape, row))
    console = rich.console.Console(width=UNLIMITED, highlight=False)
    if console.measure(table).maximum <= terminal_width():
        console.print(table)
    else:
        _print_blocks(shown, title)


def _print_blocks(columns: Sequence[tuple[str, Sequence[str]]], title: str) -> None:
    """Print a block per row: its first text, and the others behind their titles below."""
    print(title, end="\n" if title else "")
    heads = [head for head, _ in columns[1:]]
    for first, *texts in zip(*(texts for _, texts in columns), strict=True):
        named = [f"{head} {text}" for head, text in zip(heads, texts, strict=True) if text]
        print(first, fold(f"    {'; '.join(named)}", 4), sep="\n")
