"""What a report is made of, before it becomes Markdown, HTML or terminal text: each part is built once.

Plain data; the renderers are `markdown.py`, `html.py` and `terminal.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Entry:
    """One table cell: its text, a smaller second line, a tone, a hint shown on hovering, a label's colour mark."""

    text: str
    below: str = ""
    tone: str = ""
    """"", "muted" (no number), "gain" or "loss" (a reliable difference; "loss" also a failed run), "differs" (a setting
    in which runs of one label differ)."""
    hint: str = ""
    colour: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose first column names its rows."""

    title: str
    columns: list[Entry]
    rows: list[list[Entry]]
    notes: list[str] = field(default_factory=list)
    text_columns: int = 1
    """How many columns from the left hold words rather than numbers."""


@dataclass(frozen=True)
class Heading:
    """A heading of level 2 or 3; `anchor` is unique in the document."""

    text: str
    anchor: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    text: str
    lead: bool = False
    """The summary of a section, set larger."""


@dataclass(frozen=True)
class Bullets:
    items: list[str]


@dataclass(frozen=True)
class Drawing:
    """A figure. `name` is unique and safe as a file name; `alt` says in words what it shows."""

    name: str
    caption: str
    alt: str
    figure: Figure


@dataclass(frozen=True)
class Row:
    """Figures or tables that belong together, side by side where there is room."""

    parts: list[Drawing] | list[Table]


@dataclass(frozen=True)
class Folded:
    """Blocks behind a line that opens them (in HTML; elsewhere they simply follow)."""

    summary: str
    blocks: list[Block]


Block = Heading | Paragraph | Bullets | Table | Drawing | Row | Folded


@dataclass(frozen=True)
class Document:
    title: str
    subtitle: str
    findings: list[str]
    """The report in a few sentences, numbers included."""
    blocks: list[Block]

    def drawings(self) -> list[Drawing]:
        """Every figure, in order."""
        return _drawings(self.blocks)


def _drawings(blocks: list[Block]) -> list[Drawing]:
    found: list[Drawing] = []
    for block in blocks:
        if isinstance(block, Drawing):
            found.append(block)
        elif isinstance(block, Row):
            found.extend(part for part in block.parts if isinstance(part, Drawing))
        elif isinstance(block, Folded):
            found.extend(_drawings(block.blocks))
    return found
