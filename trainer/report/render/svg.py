"""Matplotlib's SVG documents as elements of a page, in two thirds of their bytes; they look the same."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

# What a browser does not need of matplotlib's SVG.
NEEDLESS = re.compile(r'<metadata>.*?</metadata>|<!--.*?-->| transform="rotate\(-0 [^"]*"|(?<=>)\n *(?=<)', re.S)
FONTS = re.compile(r"font-family: 'DejaVu Sans'[^;\"]*(?:; )?")
FONT = "font-family:DejaVu Sans,sans-serif"  # of the whole element, said once
PLACES = re.compile(r'(?<= d=")[^"]*|(?<= [xy]=")[^"]*|(?<=translate\()[^)]*|(?<=rotate\()[^)]*')
DIGITS = 2  # of coordinates: hundredths of a point
SMALLEST = 0.75  # of its natural size a figure stays legible; where there is less room, it is drawn narrow, or scrolls


def natural_width(svg: str) -> float:
    """Width of an SVG document in CSS pixels. Raises ValueError for one without viewBox."""
    box = re.search(r'viewBox="([\d. ]+)"', svg)
    if box is None:
        raise ValueError("an SVG has no viewBox")
    return float(box[1].split()[2]) * 4 / 3  # from points


def inline_svg(svg: str, name: str, alt: str) -> Markup:
    """A stand-alone SVG document as an element of an HTML page.

    Ids that something refers to begin with `name` (they must be unique in the page), the others go; the size may shrink
    to SMALLEST of the natural one. Raises ValueError for an SVG without viewBox.
    """
    opening, body = svg[svg.index("<svg") :].split(">", 1)
    natural = natural_width(opening)
    box = re.search(r'viewBox="([\d. ]+)"', opening)
    body = FONTS.sub("", NEEDLESS.sub("", body)).replace("xlink:href=", "href=")
    body = re.sub(r' style="([^"]*)"', lambda found: f' style="{re.sub(r"(?<=[:;]) ", "", found[1])}"', body)
    body = PLACES.sub(lambda found: _rounded(found[0]), body)
    body = _short_ids(body, name)
    style = f"min-width:{SMALLEST * natural:.0f}px;max-width:{natural:.0f}px;{FONT}"
    # matplotlib escapes the text inside the SVG itself.
    return Markup(f'<svg viewBox="{box[1] if box else ""}" role="img" aria-label="{escape(alt)}" style="{style}">{body}'
                  .strip())


def _rounded(places: str) -> str:
    """Coordinates and path commands, with DIGITS digits and no space that is not needed."""
    short = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.{DIGITS}f}".rstrip("0").rstrip("."), places)
    return re.sub(r"\s*([A-Za-z])\s*", r"\1", re.sub(r"\s+", " ", short)).strip()


def _short_ids(body: str, name: str) -> str:
    """`body` with numbered ids, those only that something refers to."""
    used = dict.fromkeys(re.findall(r'(?:url\(|href=")#([^")]+)', body))
    short = {old: f"{name}-{number}" for number, old in enumerate(used)}
    body = re.sub(r' id="([^"]+)"', lambda found: f' id="{short[found[1]]}"' if found[1] in short else "", body)
    return re.sub(r'(url\(|href=")#([^")]+)', lambda found: f"{found[1]}#{short[found[2]]}", body)
