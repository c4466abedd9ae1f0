"""Figures inside a page: the same shapes and texts as matplotlib's, with the same style, in fewer bytes."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.trainer.report.synthetic_runs import make_runs
from trainer.plots.style import to_svg
from trainer.report.build import build
from trainer.report.data.compute import compute
from trainer.report.data.runs import read_runs
from trainer.report.render.svg import inline_svg

Shape = tuple[str, str, dict[str, str], list[float]]
LINK = "{http://www.w3.org/1999/xlink}href"


def shapes(svg: str) -> list[Shape]:
    """What is drawn: tag, text, style with all that is inherited, numbers, those of what it refers to included."""
    root = ElementTree.fromstring(svg)
    named = {e.get("id", ""): e for e in root.iter() if e.get("id")}
    found: list[Shape] = []

    def visit(element: ElementTree.Element, style: dict[str, str], clip: list[float]) -> None:
        tag = element.tag.rpartition("}")[2]
        own = (one.partition(":") for one in element.get("style", "").split(";") if one)
        style = {**style, **{name.strip(): value.strip() for name, _, value in own}}
        if at := element.get("clip-path"):
            clip = points(named[at[5:-1]][0])
        if tag == "use":
            of = named[(element.get(LINK) or element.get("href") or "")[1:]]
            found.append((tag, "", style, [*points(of), *points(element), *clip]))
        elif tag in ("path", "text", "image", "rect"):
            found.append((tag, "".join(element.itertext()), style, [*points(element), *clip]))
        for child in element:
            if tag != "defs":
                visit(child, style, clip)

    for child in root:
        visit(child, {}, [])
    drop = ("font-family", "min-width", "max-width")
    return [(tag, text, {k: v for k, v in style.items() if k not in drop}, numbers)
            for tag, text, style, numbers in found]


def points(element: ElementTree.Element) -> list[float]:
    """Places of an element."""
    turned = element.get("transform", "")
    texts = [element.get(name, "") for name in ("d", "x", "y", "width", "height")]
    texts += [] if "rotate(-0" in turned else [turned]
    return [float(number) for text in texts for number in re.findall(r"-?\d+\.?\d*", text)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    runs = read_runs(make_runs(tmp_path_factory.mktemp("runs"), labels=("plain", "pgd"), oracle=False))
    return {drawing.name: to_svg(drawing.draw(True), drawing.name) for _, drawing in build(compute(runs)).drawings()}


def test_nothing_is_lost(drawn: dict[str, str]) -> None:
    assert len(drawn) == 6
    for name, svg in drawn.items():
        made = str(inline_svg(svg, "f0", "a & b"))
        before, after = shapes(svg), shapes(made)
        assert [shape[:3] for shape in before] == [shape[:3] for shape in after], name
        assert all(np.allclose(old[3], new[3], atol=0.0051) for old, new in zip(before, after, strict=True)), name
        ids = re.findall(r' id="([^"]+)"', made)
        assert len(ids) == len(set(ids))
        assert all(one.startswith("f0-") for one in ids)
        assert len(made) < 0.75 * len(svg), name


def test_a_document_without_a_view_box_is_refused() -> None:
    with pytest.raises(ValueError, match="viewBox"):
        inline_svg("<svg></svg>", "f0", "none")
