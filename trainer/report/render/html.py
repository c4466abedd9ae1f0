"""A report as one HTML file (Jinja2): style sheet, script and figures are inside, it loads nothing.

The template is `page.html.j2`, the style sheet `page.css`; `page.js` copies LaTeX and marks tables that scroll, and all
can be read without it. Autoescaping is on: run and label names are the user's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from trainer.report.document import Block, Document, Drawing, Row
from trainer.report.render import latex
from trainer.report.render.svg import SMALLEST, inline_svg, natural_width

FOLDER = Path(__file__).parent


def render(document: Document, svgs: Mapping[tuple[str, bool], str], data: Mapping[str, str]) -> str:
    """The whole page.

    svgs: stand-alone SVG documents by figure name, and whether drawn narrow. data: CSV text by figure name.
    """
    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined,
                              keep_trailing_newline=True)
    environment.filters |= {
        "kind": _kind, "prose": _prose, "broken_at_commas": _broken_at_commas, "latex": latex.table,
        "csv_uri": lambda drawing: f"data:text/csv;charset=utf-8,{quote(data[drawing.name])}" if drawing.data else "",
        "inline_svg": lambda drawing, narrow: _inline(svgs, drawing, narrow),
        "least_width": lambda row: _least_row_width(row, svgs)}
    style, script = ((FOLDER / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    template = environment.get_template("page.html.j2")
    return template.render(document=document, style=Markup(style), script=Markup(script))


def _inline(svgs: Mapping[tuple[str, bool], str], drawing: Drawing, narrow: bool) -> Markup:
    key = drawing.name, narrow
    return inline_svg(svgs[key], f"f{list(svgs).index(key)}", drawing.alt)


def _kind(block: Block) -> str:
    return type(block).__name__


def _prose(text: str) -> str:
    """`text` with no-break spaces before units, within an interval, and around a slash (task / split)."""
    return re.sub(r"(?<=\d) (?=(?:%|points?|seeds?)\b|%)|(?<=\d,) (?=[+−\d.]+\])| (?=/ )|(?<= /) ", "\u00a0", text)


def _broken_at_commas(text: str) -> Markup:
    """A column's name on several lines."""
    return Markup(",<br>").join(text.split(", "))


def _least_row_width(row: Row, svgs: Mapping[tuple[str, bool], str]) -> str:
    """Width in CSS pixels below which figures side by side wrap; empty for tables."""
    widths = [SMALLEST * natural_width(svgs[part.name, False]) for part in row.parts if isinstance(part, Drawing)]
    return f"{max(widths):.0f}" if widths else ""
