"""Blocks of a report as plain data, which the renderers turn into Markdown, HTML and terminal text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Entry:
    """One table cell: its text, a smaller second line, a tone, a hint on hovering, a label's colour mark, a link."""

    text: str
    below: str = ""
    tone: str = ""
    """"", "muted" (no number), "gain" or "loss" (a reliable difference; "loss" also a failed run), "differs" (a setting
    in which runs of one label differ)."""
    hint: str = ""
    colour: str = ""
    href: str = ""
    """What the text links to: a relative path, or `#anchor`."""
    anchor: str = ""
    """Name, unique in the document, that links can point to; of the first entry of a row."""
    best: bool = False
    """True if it is the best number of its column (of its row, in a table with methods as columns)."""


@dataclass(frozen=True)
class Table:
    """A table whose first column names its rows."""

    title: str
    columns: list[Entry]
    rows: list[list[Entry]]
    notes: list[str] = field(default_factory=list)
    text_columns: int = 1
    """Number of columns, from the left, that hold words rather than numbers."""
    runs: list[Entry] = field(default_factory=list)
    """Labels with a link to their runs, of numbers that are of another label than their row's."""


@dataclass(frozen=True)
class Heading:
    """A heading of level 2 or 3; `anchor` is unique in the document."""

    text: str
    anchor: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text."""

    text: str
    lead: bool = False
    """True if it is the summary of a section, set larger."""


@dataclass(frozen=True)
class Bullets:
    """A list of lines."""

    items: list[str]


@dataclass(frozen=True)
class Drawing:
    """A figure. `name` is unique and safe as a file name; `alt` describes it in words."""

    name: str
    caption: str
    alt: str
    draw: Callable[[bool], Figure]
    """Draws it for a page, or (True) anew for the width of a phone, `plots.style.NARROW`."""
    data: Sequence[Sequence[object]] = ()
    """Numbers behind it, the header first; floats are unscaled, as in results.csv. Empty where a file has them."""


@dataclass(frozen=True)
class Row:
    """Figures or tables, side by side where there is room."""

    parts: list[Drawing] | list[Table]


@dataclass(frozen=True)
class Folded:
    """Blocks that are collapsed below a summary line in HTML, and follow it elsewhere."""

    summary: str
    blocks: list[Block]


Block = Heading | Paragraph | Bullets | Table | Drawing | Row | Folded


@dataclass(frozen=True)
class Document:
    """A whole report. Its first screen: title, answer, and the parts of `top` side by side."""

    title: str
    subtitle: str
    answer: str
    """The main result in one sentence; empty where there is none."""
    details: list[str]
    """Sentences that belong to the answer."""
    top: list[Table | Drawing]
    """The ranked table, and the figure beside it."""
    findings: list[str]
    """Further results, a sentence each."""
    blocks: list[Block]

    def drawings(self) -> list[tuple[str, Drawing]]:
        """Every figure in order, each with the heading of level 2 above it; "summary" for those of the first screen."""
        return [*(("summary", part) for part in self.top if isinstance(part, Drawing)), *_drawings(self.blocks, "")]


def _drawings(blocks: Sequence[Block], heading: str) -> list[tuple[str, Drawing]]:
    found: list[tuple[str, Drawing]] = []
    for block in blocks:
        if isinstance(block, Heading) and block.level == 2:
            heading = block.text
        elif isinstance(block, Drawing):
            found.append((heading, block))
        elif isinstance(block, Row):
            found.extend((heading, part) for part in block.parts if isinstance(part, Drawing))
        elif isinstance(block, Folded):
            found.extend(_drawings(block.blocks, heading))
    return found
