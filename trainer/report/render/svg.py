"""Matplotlib's SVG documents as elements of a page, at under half of their bytes; they look the same."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

# What a browser does not need of matplotlib's SVG.
NEEDLESS = re.compile(r'<metadata>.*?</metadata>|<!--.*?-->| transform="rotate\(-0 [^"]*"|(?<=>)\n *(?=<)', re.S)
FONTS = re.compile(r"font-family: 'DejaVu Sans'[^;\"]*(?:; )?")
FONT = "font-family:DejaVu Sans,sans-serif"  # of the whole element, said once
PLACES = re.compile(r'(?<= d=")[^"]*|(?<= [xy]=")[^"]*|(?<=translate\()[^)]*|(?<=rotate\()[^)]*')
ELEMENT = re.compile(r'<(path|use|text)((?: (?!id=)[\w:-]+="[^"]*")*)(/>|>[^<]*</text>)')
STYLED = re.compile(r' (style|clip-path)="([^"]*)"')
# Not inherited, or set for every element by matplotlib's style sheet: said at each element.
OWN = ("opacity", "stroke-linejoin", "stroke-linecap")
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
    body = _together(_without_bare_groups(_short_ids(body, name)))
    style = f"min-width:{SMALLEST * natural:.0f}px;max-width:{natural:.0f}px;{FONT}"
    # matplotlib escapes the text inside the SVG itself.
    return Markup(f'<svg viewBox="{box[1] if box else ""}" role="img" aria-label="{escape(alt)}" style="{style}">{body}'
                  .strip())


def _rounded(places: str) -> str:
    """Coordinates and path commands, with DIGITS digits and no space that is not needed."""
    short = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.{DIGITS}f}".rstrip("0").rstrip("."), places)
    short = re.sub(r"\s*([A-Za-z])\s*", r"\1", re.sub(r"\s+", " ", short)).strip()
    return _level_and_upright(short) if re.fullmatch(r"[-MLz\d. ]*", short) else short


def _level_and_upright(path: str) -> str:
    """A path of absolute points, its level and upright lines by one coordinate each."""
    last = ("", "")

    def line(found: re.Match[str]) -> str:
        nonlocal last
        command, x, y = found.groups()
        before, last = last, (x, y)
        if command == "M" or (x, y) == before or not (x == before[0] or y == before[1]):
            return found[0]
        return f"H{x}" if y == before[1] else f"V{y}"

    return re.sub(r"([ML])(\S+?) ([^MLz]+)", line, path)


def _short_ids(body: str, name: str) -> str:
    """`body` with numbered ids, those only that something refers to."""
    used = dict.fromkeys(re.findall(r'(?:url\(|href=")#([^")]+)', body))
    short = {old: f"{name}-{number}" for number, old in enumerate(used)}
    body = re.sub(r' id="([^"]+)"', lambda found: f' id="{short[found[1]]}"' if found[1] in short else "", body)
    return re.sub(r'(url\(|href=")#([^")]+)', lambda found: f"{found[1]}#{short[found[2]]}", body)


def _without_bare_groups(body: str) -> str:
    """`body` without <g> elements that have no attributes; what is in them stays."""
    kept: list[bool] = []

    def tag(found: re.Match[str]) -> str:
        text = found[0]
        if text == "</g>":
            return text if kept.pop() else ""
        if text == "<g/>":
            return ""
        if not text.endswith("/>"):
            kept.append(text != "<g>")
        return "" if text == "<g>" else text

    return re.sub(r"<g(?: [^>]*)?/?>|</g>", tag, body)


def _together(body: str) -> str:
    """`body` with what neighbours of one kind say alike (clip path and style) said once, by a group around them."""
    parts: list[str] = []
    run: list[re.Match[str]] = []
    end = 0
    for found in ELEMENT.finditer(body):
        if found.start() > end or not run or _shared([found]) != _shared(run[:1]):
            parts += [_group(run), body[end : found.start()]]
            run = []
        run.append(found)
        end = found.end()
    return "".join([*parts, _group(run), body[end:]])


def _shared(run: list[re.Match[str]], apart: tuple[str, ...] = (*OWN, "fill")) -> tuple[str, str | None, list[str]]:
    """Kind, clip path and style of the first element, without the declarations of `apart`."""
    said = dict(STYLED.findall(run[0][2]))
    return run[0][1], said.get("clip-path"), [one for one in said.get("style", "").split(";")
                                              if one.partition(":")[0] not in apart]


def _group(run: list[re.Match[str]]) -> str:
    """A run of elements that are alike but for their places and fill."""
    if len(run) < 3:
        return "".join(found[0] for found in run)
    whole = _shared(run[:1], OWN)
    _, clip, common = whole if all(_shared([found], OWN) == whole for found in run) else _shared(run[:1])
    if not (clip or common):
        return "".join(found[0] for found in run)
    inner = []
    for found in run:
        own = ";".join(one for one in dict(STYLED.findall(found[2])).get("style", "").split(";") if one not in common)
        rest = STYLED.sub("", found[2])
        inner.append(f"<{found[1]}{f' style={chr(34)}{own}{chr(34)}' if own else ''}{rest}{found[3]}")
    clipped = f' clip-path="{clip}"' if clip else ""
    return f'<g{clipped} style="{";".join(common)}">{"".join(inner)}</g>'
