"""The page in headless Chromium: nothing missing, nothing complained about, nothing wider than the screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.report.synthetic_runs import make_runs
from trainer.report.render import tensorboard as events
from trainer.report.write import write_report

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]

pytestmark = pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"no browser at {CHROMIUM} (Debian: chromium)")


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    patch = pytest.MonkeyPatch()
    patch.setattr(events, "write", lambda *_: False)
    summary = write_report(make_runs(folder / "runs"), folder / "report")
    patch.undo()
    return summary.html


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [400, 1280])
def test_page(browser: Any, page_path: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")

    assert said == []
    assert [url for url in requests if not url.startswith("data:")] == [page_path.as_uri()]
    sizes = page.evaluate("""[...document.querySelectorAll('figure, figure svg, img')].map(element => {
        const box = element.getBoundingClientRect(); return [element.tagName, box.width, box.height]; })""")
    assert len(sizes) == 2 * 7  # 7 figures and the drawing in each
    assert all(w > 100 and h > 100 for _, w, h in sizes), sizes
    # A drawing with a size may still be empty: each must hold visible text and shapes.
    inside = page.evaluate("""[...document.querySelectorAll('figure svg')].map(svg => [
        svg.querySelectorAll('text').length, svg.querySelectorAll('path, use').length])""")
    assert all(words > 5 and shapes > 10 for words, shapes in inside), inside
    rows = page.evaluate("[...document.querySelectorAll('table')].map(table => table.tBodies[0].rows.length)")
    assert len(rows) >= 12
    assert min(rows) >= 2
    assert page.evaluate("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)") <= width
    page.close()


def test_header_stays_in_sight(browser: Any, page_path: Path) -> None:
    """Inside a table that scrolls, the row of languages and the column of labels stay."""
    page = browser.new_page(viewport={"width": 400, "height": 300})
    page.goto(page_path.as_uri())
    moved = page.evaluate("""(() => {
        const box = [...document.querySelectorAll('.block > .scroll')].find(box =>
            box.scrollHeight > box.clientHeight + 20 && box.scrollWidth > box.clientWidth + 20);
        box.scrollTop = 20; box.scrollLeft = 20;
        const edge = box.getBoundingClientRect(), head = box.querySelector('thead th:nth-child(2)'),
              side = box.querySelector('tbody th');
        return [head.getBoundingClientRect().top - edge.top, side.getBoundingClientRect().left - edge.left];
    })()""")
    assert all(abs(distance) <= 2 for distance in moved), moved
    page.close()
