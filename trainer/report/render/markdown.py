"""A report as Markdown (GitHub's flavour): tables as pipes, figures as links to `figures/<name>.svg`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from trainer.report.document import Block, Bullets, Document, Drawing, Entry, Folded, Heading, Paragraph, Row, Table

FIGURES = "figures"


def render(document: Document) -> str:
    """The whole report as Markdown text."""
    parts = [f"# {escape(document.title)}", escape(document.subtitle)]
    parts += [f"**{escape(document.answer)}**"] if document.answer else []
    parts += [_block(Bullets(document.details))] if document.details else []
    parts += [_block(block) for block in document.top]
    parts += [_block(Bullets(document.findings))] if document.findings else []
    parts += [_block(block) for block in document.blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def summary(document: Document) -> str:
    """The answer and the tables of the first screen, without figures and links."""
    tables = [re.sub(r"\[(.*?)\]\(#[^)]*\)", r"\1", _table(part)) for part in document.top if isinstance(part, Table)]
    return "\n\n".join([f"# {escape(document.title)}", *map(escape, [document.answer, *document.details]), *tables])


def escape(text: str) -> str:
    """`text` with Markdown's markup escaped, as in run and label names."""
    return re.sub(r"[\\`*|]|<(?=[A-Za-z/!?])", r"\\\g<0>", text.replace("\n", " ")).replace("](", "]\\(")


def _block(block: Block) -> str:
    match block:
        case Heading():
            return f"{'#' * block.level} {escape(block.text)}"
        case Paragraph():
            return escape(block.text)
        case Bullets():
            return "\n".join(f"- {escape(item)}" for item in block.items)
        case Table():
            return _table(block)
        case Drawing():
            data = f" ([CSV]({FIGURES}/{block.name}.csv))" if block.data else ""
            return f"![{escape(block.alt)}]({FIGURES}/{block.name}.svg)\n\n*{escape(block.caption)}*{data}"
        case Row():
            return "\n\n".join(_block(part) for part in block.parts)
        case Folded():
            return "\n\n".join([f"**{escape(block.summary)}**", *(_block(inner) for inner in block.blocks)])


def _table(table: Table) -> str:
    align = ["---" if position < table.text_columns else "---:" for position in range(len(table.columns))]
    lines = [_line([escape(column.text) for column in table.columns]), _line(align)]
    lines += [_line([_entry(entry) for entry in _linked_once(row)]) for row in table.rows]
    notes = [f"\n{escape(' '.join(table.notes))}"] if table.notes else []
    runs = [f"\nRuns: {', '.join(map(_entry, table.runs))}."] if table.runs else []
    return "\n".join([f"**{escape(table.title)}**\n", *lines, *notes, *runs])


def _linked_once(row: Sequence[Entry]) -> list[Entry]:
    """`row` with each link at its first entry only, and links into the document only at the row's name.

    A link in every number, as in HTML, would hide the numbers. Labels of other numbers are in `Table.runs`.
    """
    seen: set[str] = set()
    kept = []
    for place, entry in enumerate(row):
        again = entry.href in seen or (place > 0 and entry.href.startswith("#"))
        seen.add(entry.href)
        kept.append(replace(entry, href="") if again else entry)
    return kept


def _line(texts: list[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _entry(entry: Entry) -> str:
    text = f"**{escape(entry.text)}**" if entry.best else escape(entry.text)
    if entry.href:
        text = f"[{text}]({entry.href})"
    text = f"{text} {escape(entry.below)}".strip()
    text = f"**{text}**" if entry.tone in ("gain", "loss", "differs") else text
    return f'<a id="{entry.anchor}"></a>{text}' if entry.anchor else text
