"""A report as one HTML file (Jinja2): style sheet and figures are inside, it loads nothing and runs no script.

The template is `page.html.j2`, the style sheet `page.css`. Autoescaping is on: run and label names are the user's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from trainer.report.document import Block, Document, Drawing, Row

FOLDER = Path(__file__).parent
SMALLEST = 0.7  # of its natural size a figure stays legible; where there is less room, it scrolls


def render(document: Document, svgs: Mapping[str, str]) -> str:
    """The whole page. `svgs`: stand-alone SVG documents by figure name."""
    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined,
                              keep_trailing_newline=True)
    environment.filters |= {
        "kind": _kind, "prose": _prose, "broken_at_commas": _broken_at_commas, "least_width": _least_row_width,
        "inline_svg": lambda drawing: inline_svg(svgs[drawing.name], drawing.name, drawing.alt)}
    style = (FOLDER / "page.css").read_text(encoding="utf-8")
    return environment.get_template("page.html.j2").render(document=document, style=Markup(style))


def _kind(block: Block) -> str:
    return type(block).__name__


def _prose(text: str) -> str:
    """`text` with no-break spaces between a number and its unit, and between the two ends of an interval."""
    return re.sub(r"(?<=\d) (?=(?:%|points?|seeds?)\b|%)|(?<=\d,) (?=[+−\d.]+\])", "\u00a0", text)


def _broken_at_commas(text: str) -> Markup:
    """A column's name on several lines."""
    return Markup(",<br>").join(text.split(", "))


def _least_row_width(row: Row) -> str:
    """Width in CSS pixels below which figures side by side wrap; empty for tables."""
    widths = [_least_width(part.figure) for part in row.parts if isinstance(part, Drawing)]
    return f"{max(widths):.0f}" if widths else ""


def _least_width(figure: Figure) -> float:
    return SMALLEST * 96 * float(figure.get_size_inches()[0])


def inline_svg(svg: str, name: str, alt: str) -> Markup:
    """A stand-alone SVG document as an element of an HTML page.

    Ids get the prefix `name` (they must be unique in the page), the size may shrink to SMALLEST of the natural one,
    and the XML preamble and metadata go. Raises ValueError for an SVG without viewBox.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.S)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body)
    opening, rest = body.split(">", 1)
    box = re.search(r'viewBox="([\d. ]+)"', opening)
    if box is None:
        raise ValueError(f"figure {name} has no viewBox")
    natural = float(box.group(1).split()[2]) * 4 / 3  # points to CSS pixels
    style = f"min-width:{SMALLEST * natural:.0f}px;max-width:{natural:.0f}px"
    # matplotlib escapes the text inside the SVG itself.
    return Markup(f'<svg viewBox="{box.group(1)}" role="img" aria-label="{escape(alt)}" style="{style}">{rest}'.strip())
