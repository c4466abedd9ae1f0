"""A report as one HTML file: its style and figures are inside, it loads nothing and runs no script."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from trainer.plots.figures import inline_svg, least_width
from trainer.report.document import (
    Block,
    Bullets,
    Document,
    Drawing,
    Entry,
    Folded,
    Heading,
    Paragraph,
    Row,
    Table,
)
from trainer.report.render.style import CSS


def render(document: Document, svgs: dict[str, str]) -> str:
    """The whole page. `svgs`: stand-alone SVG text by figure name."""
    body = [f"<header><h1>{escape(document.title)}</h1><p>{escape(document.subtitle)}</p></header>"]
    body.append(_contents(document.blocks))
    if document.findings:
        body.append(f'<section class="findings"><h2>In short</h2>{_list(document.findings)}</section>')
    body += [_block(block, svgs) for block in document.blocks]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light">\n'
        '<link rel="icon" href="data:,">\n'  # no icon: else a browser asks the server for one
        f"<title>{escape(document.title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def _contents(blocks: Sequence[Block]) -> str:
    links = [f'<a href="#{block.anchor}">{escape(block.text)}</a>'
             for block in blocks if isinstance(block, Heading) and block.level == 2]
    return f'<nav aria-label="Contents">{" ".join(links)}</nav>'


def _block(block: Block, svgs: dict[str, str]) -> str:
    match block:
        case Heading():
            return f'<h{block.level} id="{block.anchor}">{escape(block.text)}</h{block.level}>'
        case Paragraph():
            return f"<p{' class=lead' if block.lead else ''}>{_prose(block.text)}</p>"
        case Bullets():
            return _list(block.items)
        case Table():
            return _table(block)
        case Drawing():
            return _drawing(block, svgs[block.name])
        case Row():
            return _side_by_side(block, svgs)
        case Folded():
            inner = "\n".join(_block(part, svgs) for part in block.blocks)
            return f"<details><summary>{escape(block.summary)}</summary>{inner}</details>"


def _side_by_side(row: Row, svgs: dict[str, str]) -> str:
    inner = "".join(_block(part, svgs) for part in row.parts)
    widths = [least_width(part.figure) for part in row.parts if isinstance(part, Drawing)]
    if not widths:
        return f'<div class="row tables">{inner}</div>'
    return f'<div class="row" style="--least:{max(widths):.0f}px">{inner}</div>'


def _list(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{_prose(item)}</li>' for item in items)}</ul>"


def _prose(text: str) -> str:
    """Escaped text in which a number and its unit, and the two ends of an interval, stay on one line."""
    return re.sub(r"(?<=\d) (?=(?:%|points?)\b|%)|(?<=\d,) (?=[+−\d.]+\])", "\u00a0", escape(text))


def _drawing(drawing: Drawing, svg: str) -> str:
    image = inline_svg(svg, drawing.name, escape(drawing.alt, quote=True))
    return (f'<figure><div class="scroll" tabindex="0">{image}</div>'
            f"<figcaption>{escape(drawing.caption)}</figcaption></figure>")


def _table(table: Table) -> str:
    head = "".join(
        f'<th scope="col"{_text_class(position, table)}{_hint(name)}>{_name(name).replace(", ", ",<br>")}</th>'
        for position, name in enumerate(table.columns))
    rows = "".join(f"<tr>{_row(row, table)}</tr>" for row in table.rows)
    notes = f'<p class="note">{escape(" ".join(table.notes))}</p>' if table.notes else ""
    title = escape(table.title)
    return (f'<div class="block"><h4>{title}</h4><div class="scroll" tabindex="0" role="region" aria-label="{title}">'
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{notes}</div>")


def _row(row: Sequence[Entry], table: Table) -> str:
    name, *values = row
    cells = (_cell(entry, _text_class(position, table)) for position, entry in enumerate(values, start=1))
    return f'<th scope="row"{_hint(name)}>{_name(name)}</th>' + "".join(cells)


def _text_class(position: int, table: Table) -> str:
    return ' class="text"' if position < table.text_columns else ""


def _cell(entry: Entry, text_class: str) -> str:
    tone = f' class="{entry.tone}"' if entry.tone else text_class
    below = f"<small>{escape(entry.below)}</small>" if entry.below else ""
    return f"<td{tone}{_hint(entry)}>{escape(entry.text)}{below}</td>"


def _hint(entry: Entry) -> str:
    return f' title="{escape(entry.hint, quote=True)}"' if entry.hint else ""


def _name(entry: Entry) -> str:
    if not entry.colour:
        return escape(entry.text)
    mark = f'<i class="mark" style="background:{entry.colour}"></i>'
    return f'<span class="label">{mark}{escape(entry.text)}</span>'
