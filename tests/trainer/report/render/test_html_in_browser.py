"""The page in headless Chromium at the widths of a desk and a phone: nothing missing, cut or overlapping.

Boxes are compared, not pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.report.sections.test_diagnostics import runs_with_rows
from tests.trainer.report.synthetic_runs import digest, make_runs, row
from trainer.plots.palette import METHODS
from trainer.report.render import tensorboard as events
from trainer.report.write import write_report
from trainer.results.outcomes import outcomes_path, write_outcomes
from trainer.results.scores import RESULTS_FILE, merge_rows

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
WIDTHS = (390, 1400)
XNLI = ("en", "ar", "bg", "de", "el", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")
EXAMPLES = 60

pytestmark = pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"no browser at {CHROMIUM} (Debian: chromium)")

# Faults of the layout, a line each.
FAULTS = """() => {
  const faults = [], near = 1.5, seen = (e) => e.getClientRects().length > 0 && e.checkVisibility();
  const box = (e) => e.getBoundingClientRect(), words = (e) => e.textContent.trim().slice(0, 40);
  const shared = (a, b) => Math.max(0, Math.min(a.right, b.right) - Math.max(a.left, b.left)) *
    Math.max(0, Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));
  const inside = (a, b) => a.left >= b.left - near && a.right <= b.right + near && a.top >= b.top - near &&
    a.bottom <= b.bottom + near;
  if (document.documentElement.scrollWidth > innerWidth) faults.push("the page is wider than the screen");
  for (const part of document.querySelectorAll(".scroll")) if (seen(part)) {
    const over = part.scrollWidth > part.clientWidth + 2;
    if (over !== part.parentElement.classList.contains("more-right")) faults.push(`cue of ${words(part)}: ${over}`);
    const below = part.scrollHeight > part.clientHeight + 2, frame = part.parentElement;
    if (below !== frame.classList.contains("more-below")) faults.push(`cue below ${words(part)}: ${below}`);
    for (const [cut, place] of [[over, "::after"], [below, "::before"]])  // above the cells, which have a background
      if (cut !== (+getComputedStyle(frame, place).zIndex > 2)) faults.push(`cue ${place} of ${words(part)}: ${cut}`);
    if (over && part.querySelector("svg")) faults.push(`a figure is cut: ${words(part)}`);
  }
  for (const e of document.querySelectorAll("main p, main li, main h1, main h2, main h3, main h4, button, a, small"))
    if (seen(e) && !e.closest(".scroll") && (box(e).right > innerWidth ||
                                             e.scrollWidth > e.clientWidth + 2 && e.clientWidth))
      faults.push(`cut: ${words(e)}`);
  for (const e of document.querySelectorAll("td, th"))
    if (seen(e) && e.scrollWidth > e.clientWidth + 2) faults.push(`cut in a table: ${words(e)}`);
  for (const parent of document.querySelectorAll("main, .top, .row, .over, figure, .block")) {
    const parts = [...parent.children].filter(seen);
    parts.forEach((a, i) => parts.slice(i + 1).forEach((b) => {
      if (shared(box(a), box(b)) > 20) faults.push(`${a.tagName} over ${b.tagName}: ${words(a)} | ${words(b)}`);
    }));
  }
  for (const svg of document.querySelectorAll("figure svg")) if (seen(svg)) {
    const texts = [...svg.querySelectorAll("text")].filter((e) => e.textContent.trim());
    const boxes = texts.map(box);
    texts.forEach((e, i) => {
      if (!inside(boxes[i], box(svg))) faults.push(`outside ${svg.getAttribute("aria-label")}: ${words(e)}`);
      for (let j = i + 1; j < texts.length; j++) {
        const small = Math.min(boxes[i].width * boxes[i].height, boxes[j].width * boxes[j].height);
        if (shared(boxes[i], boxes[j]) > 0.2 * small)
          faults.push(`${svg.getAttribute("aria-label")}: ${words(e)} over ${words(texts[j])}`);
      }
    });
    if (boxes.some((b) => b.height < 6)) faults.push(`too small: ${svg.getAttribute("aria-label")}`);
  }
  return faults;
}"""


def few(root: Path) -> list[Path]:
    """Two languages, one seed, three methods."""
    return make_runs(root, seeds=(1,), languages=("en", "sw"), generalized=False)


def diagnosed(root: Path) -> list[Path]:
    """Two methods with distances to English."""
    return runs_with_rows(root)


def many(root: Path) -> list[Path]:
    """15 languages, two seeds, eight methods, one with a long name, of which two in all pairs of languages."""
    rng, paths, named = np.random.default_rng(0), [], {"pgd": "adversarial training (PGD) (average of last 3)"}
    for label in (named.get(method, method) for method in list(METHODS)[:8]):
        for seed in (1, 2):
            path = root / f"{label.split()[0]}-s{seed}"
            rows = []
            for place, language in enumerate(XNLI):
                right = rng.random(EXAMPLES) < 0.9 - 0.03 * place
                outcomes = outcomes_path("xnli", "test", language)
                write_outcomes(path / "eval" / outcomes, [f"{i:02}" for i in range(EXAMPLES)], right)
                rows.append(row(label, seed, language, value=float(right.mean()), outcomes=outcomes, n=EXAMPLES,
                                cell_sha256=digest(language)))
            if label in ("plain", *named.values()):
                rows += [row(label, seed, one, language_2=two, setting="generalized", outcomes=None, n=EXAMPLES,
                             value=round(rng.uniform(0.3, 1), 3)) for one in XNLI for two in XNLI]
            merge_rows(path / "eval" / RESULTS_FILE, rows)
            paths.append(path)
    return paths


@pytest.fixture(scope="module", params=[few, diagnosed, pytest.param(many, marks=pytest.mark.slow)],
                ids=lambda made: made.__name__)
def page_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    patch = pytest.MonkeyPatch()
    patch.setattr(events, "write", lambda *_: False)
    summary = write_report(request.param(folder / "runs"), folder / "report")
    patch.undo()
    return summary.html


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


def test_page(browser: Any, page_path: Path) -> None:
    drawn = sorted(path.stem for path in (page_path.parent / "figures").glob("*.svg"))
    for width in WIDTHS:
        page = browser.new_page(viewport={"width": width, "height": 900})
        said: list[str] = []
        page.on("console", lambda message, said=said: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error, said=said: said.append(f"error: {error}"))
        requests: list[str] = []
        page.on("request", lambda request, requests=requests: requests.append(request.url))
        page.goto(page_path.as_uri())
        if width == max(WIDTHS):  # the answer is on the first screen
            top = page.evaluate("""[...document.querySelectorAll('.answer p:first-child, .top table, .top svg')]
                .filter(e => e.checkVisibility()).map(e => e.getBoundingClientRect().bottom)""")
            assert len(top) == 3
            assert max(top) <= 900
            assert page.query_selector(".top .more-right") is None  # the ranking needs no scrolling
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        page.wait_for_timeout(50)

        assert page.evaluate(FAULTS) == []
        assert said == []
        assert [url for url in requests if not url.startswith("data:")] == [page_path.as_uri()]
        # A drawing with a size may still be empty: each must hold visible text and shapes.
        inside = page.evaluate("""[...document.querySelectorAll('figure svg')].filter(svg => svg.checkVisibility())
            .map(svg => [svg.getBoundingClientRect().width, svg.querySelectorAll('text').length,
                         svg.querySelectorAll('path, use').length])""")
        assert len(inside) == len(drawn)
        assert all(150 < w <= width and words > 5 and shapes > 8 for w, words, shapes in inside), inside
        data = page.evaluate("[...document.querySelectorAll('figcaption a[download]')].map(a => a.download)")
        assert sorted(data) == [f"{name}.csv" for name in drawn]
        page.close()


def test_a_click_copies_latex(browser: Any, page_path: Path) -> None:
    page = browser.new_page()
    page.goto(page_path.as_uri())
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.click(".top button.copy")
    text = page.evaluate("window.copied")
    assert text.startswith("\\begin{table}")
    assert "\\toprule" in text
    assert page.inner_text(".top button.copy") == "Copied"
    page.close()


def test_header_stays_in_sight(browser: Any, page_path: Path) -> None:
    """Inside a table that scrolls, the row of languages and the column of labels stay."""
    page = browser.new_page(viewport={"width": 330, "height": 150})
    page.goto(page_path.as_uri())
    page.wait_for_timeout(50)
    assert page.evaluate("document.querySelectorAll('.more-below').length") > 3
    assert [fault for fault in page.evaluate(FAULTS) if fault.startswith("cue")] == []
    moved = page.evaluate("""(() => {
        const box = [...document.querySelectorAll('.block .scroll')].find(box =>
            box.scrollHeight > box.clientHeight + 20 && box.scrollWidth > box.clientWidth + 20);
        box.scrollTop = 20; box.scrollLeft = 20;
        const edge = box.getBoundingClientRect(), head = box.querySelector('thead th:nth-child(2)'),
              side = box.querySelector('tbody th');
        return [head.getBoundingClientRect().top - edge.top, side.getBoundingClientRect().left - edge.left];
    })()""")
    assert all(abs(distance) <= 2 for distance in moved), moved
    page.close()
