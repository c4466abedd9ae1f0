"""Report of a study: answers on runs with known effects, retried and missing cells, links, equal bytes."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.report.render.test_html_in_browser import CHROMIUM, FAULTS, FLAGS
from tests.trainer.studies.synthetic_study import LANGUAGES, TOKENS, end, make_graph, make_study, write_runs
from trainer.plots import events
from trainer.results.dynamics import write_epoch, write_summary
from trainer.studies.graph import Graph
from trainer.studies.report import design, write_study_report
from trainer.studies.report.answer import answer
from trainer.studies.report.design import read_designs
from trainer.studies.report.results import compute_stage
from trainer.studies.schema import Study


def gain(level: str, language: str) -> float:
    """PGD gains 6 points or so in every language, noise nothing."""
    return 0.3 if level == "pgd" else 0.0


def none(level: str, language: str) -> float:
    return 0.0


def said(study: Study, out: Path, **options: object) -> str:
    """The answer of runs with `gain`."""
    graph = make_graph(study)
    write_runs(out, graph, gain, **options)  # type: ignore[arg-type]
    return answer([compute_stage(design, out) for design in read_designs(study, graph, out)])


def test_a_planted_effect_is_the_answer(tmp_path: Path) -> None:
    text = said(make_study(), tmp_path, luck=0.01)
    assert re.match(r"PGD gains \(\+[4-9]\.\d points, 95 % interval \[\+[^]]+\]\) in the mean accuracy over 4 "
                    r"languages not trained on \(xnli / test\) compared with plain, with 3 seeds after Holm's "
                    r"correction for 2 comparisons\. No difference can be claimed for random noise\.$", text), text


def test_no_effect_no_claim(tmp_path: Path) -> None:
    study = make_study(levels={"plain": "plain", "noise": "random noise"})
    text = said(study, tmp_path)
    assert text.startswith("No difference can be claimed with 3 seeds: random noise changes the mean accuracy over 4 "
                           "languages not trained on (xnli / test) by ")
    assert re.search(r" points compared with plain, 95 % interval \[−\d+\.\d, \+\d+\.\d\]\. Studies", text)
    assert "in 80 % of cases" in text


def test_no_claim_without_the_correction(tmp_path: Path) -> None:
    """PGD alone differs, by about as much as its own interval is wide; of four comparisons, it is the best of four."""
    study = make_study(levels={"plain": "plain", "noise": "random noise", "pgd": "PGD", "smart": "SMART",
                               "freelb": "FreeLB"})
    graph = make_graph(study)
    write_runs(tmp_path, graph, lambda level, language: 0.2 if level == "pgd" else 0.0, luck=0.01)
    text = answer([compute_stage(design, tmp_path) for design in read_designs(study, graph, tmp_path)])
    assert text.startswith("No difference can be claimed with 3 seeds after Holm's correction for 4 comparisons.")
    assert re.search(r"\+\d\.\d points compared with plain, 95 % interval \[\+\d\.\d, \+\d\.\d\] before the "
                     "correction", text), text


def test_under_three_seeds_nothing_is_said(tmp_path: Path) -> None:
    text = said(make_study(seeds=(0, 1)), tmp_path, luck=0.0)
    assert text.startswith("Nothing can be said yet: that takes at least 3 seeds, and there are 2 seeds. "
                           "On these runs: PGD changes the mean accuracy over 4 languages")


def test_missing_cells_are_shown(tmp_path: Path, no_events: None) -> None:
    study, graph = make_study(), make_graph(make_study())
    write_runs(tmp_path, graph, gain, skip=[("plain", 2), ("pgd", 0)], luck=0.0)
    end(tmp_path, graph, "target-pgd-seed0-abc123", "collapsed")
    rows = tmp_path / "runs/target-plain-seed0-abc123/eval/results.jsonl"
    kept = [line for line in rows.read_text().splitlines()
            if (row := json.loads(line))["selection"] != "oracle" or row["language"] != "de"]
    assert len(kept) == len(rows.read_text().splitlines()) - 1
    rows.write_text("\n".join(kept) + "\n")
    assert write_study_report(study, graph, tmp_path) == 1
    first = files(tmp_path / "report")
    assert write_study_report(study, graph, tmp_path) == 1
    assert files(tmp_path / "report") == first  # the same bytes from the same runs
    text = (tmp_path / "report" / "report.md").read_text()
    assert "- plain, 1 seed (2), target: not run yet." in text
    assert "- PGD, 1 seed (0), target: target-pgd-seed0-abc123 collapsed." in text
    assert "Incomplete: 2 of 9 cells of target without all results" in text
    assert "Nothing can be said yet" in text  # one seed is left of both plain and PGD, two of noise
    assert "| evaluate1-target-pgd-seed0-abc123 | blocked |" in text
    assert "oracle: " not in text, "the training was not told to look at that language"


def test_nothing_evaluated(tmp_path: Path, no_events: None, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study()
    assert write_study_report(study, make_graph(study), tmp_path) == 1
    text = (tmp_path / "report" / "report.md").read_text()
    assert "No answer yet: nothing has been evaluated." in text
    assert "PGD, 3 seeds (0, 1, 2), target: not run yet." in text
    assert "No answer yet" in capsys.readouterr().out


def test_a_retried_training_stands_for_the_seed_of_its_cell(tmp_path: Path, no_events: None) -> None:
    study = make_study()
    graph = make_graph(study, {("pgd", 1): ["target-pgd-seed1-ffffff"]})
    write_runs(tmp_path, graph, gain, luck=0.01)
    assert write_study_report(study, graph, tmp_path) == 0
    text = (tmp_path / "report" / "report.md").read_text()
    assert re.search(r"\*\*PGD \(\+\d\.\d points\) gains in .* compared with plain, with", text)
    assert "PGD: 1 training collapsed or diverged and was replaced by a new seed" in text
    with (tmp_path / "report" / "results.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] == "PGD" and row["selection"] == "best"]
    assert {row["seed"] for row in rows} == {"0", "1", "2"}
    assert {row["run"] for row in rows if row["seed"] == "1"} == {"target-pgd-seed1001-abc123"}
    assert {row["training_seed"] for row in rows if row["seed"] == "1"} == {"41"}  # what the row itself says
    assert {row["run_path"] for row in rows} == {f"../runs/{row['run']}" for row in rows}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a study with all kinds of sections, and its report."""
    out = tmp_path_factory.mktemp("whole")
    study = make_study(
        levels={"plain": "plain", "pgd": "PGD"}, curves=[{"factor": "shots", "by": "method"}], data_maps=["target"],
        factors={"method": {"plain": {}, "pgd": {"label": "PGD"}},
                 "shots": {"zero": {"x": 0, "label": "0 shots"}, "many": {"x": 16, "label": "16 shots"}}},
        comparisons=[{"factor": "method", "base": "plain"},
                     {"factor": "shots", "base": "zero", "at": {"method": "pgd"}}])
    graph = make_graph(study)
    write_runs(out, graph, lambda levels, language: 0.3 * ("pgd" in levels) + 0.1 * ("many" in levels), average=0.0,
               tasks={"xnli": 0.0, "xnli+noise": 0.3})
    shares = np.linspace(0, 1, 40)
    write_epoch(out / "runs" / "target-plain-zero-seed0-abc123", 1, {
        "cell": np.array(["mnli/train/en"] * 40), "id": np.arange(40), "probability": shares, "correct": shares})
    write_summary(out / "runs" / "target-plain-zero-seed0-abc123", [1])
    patch = pytest.MonkeyPatch()
    patch.setattr(events.TimelessEventFile, "figure", lambda *_, **__: None)
    assert write_study_report(study, graph, out) == 0
    patch.undo()
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_links_lead_to_runs_and_nothing_names_this_machine(whole: Path) -> None:
    report = whole / "report"
    page, text = (report / "report.html").read_text(), (report / "report.md").read_text()
    links = set(re.findall(r'href="([^"]+)"', page)) | set(re.findall(r"\]\(([^)\s]+)\)", text))
    for link in (link for link in links if not link.startswith("data:")):
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in page, link
        else:
            assert (report / link).exists(), link
    assert {Path(link).name for link in links if link.startswith("../runs/")} == {
        path.name for path in (whole / "runs").iterdir()}
    for name, content in files(report).items():
        assert str(whole).encode() not in content, name
        assert b"/somewhere" not in content, name
    numbers = page[: page.index('<h2 id="runs">')]  # behind it: settings
    linked = re.findall(r"<td[^>]*>(?:<a [^>]*>)?([+−]?\d+\.\d+)†?(</a>)?", numbers)
    assert len(linked) > 300
    assert [number for number, link in linked if not link] == []


def test_markdown_links_a_label_once(whole: Path) -> None:
    """A link in every number made the text unreadable: now one per row, or a list of runs below the table."""
    text = (whole / "report" / "report.md").read_text()
    text = text[: text.index("\n## Runs")]
    found = list(re.finditer(r"(?:^\|.*\n)+", text, re.M))
    for table in found:
        rows = [line for line in table[0].splitlines()[2:] if re.search(r"\d\.\d", line)]
        listed = "\nRuns: [" in text[table.end():].split("\n**")[0]
        assert all(line.count("](") <= 2 for line in rows), table[0]
        assert all(line.startswith("| [") for line in rows) or listed, table[0]
    assert len(found) > 20
    ranking = text[text.index("**xnli / test: mean accuracy (%)**"):].split("\n\n")
    assert "[plain · 0 shots](#runs-plain-0-shots)" in ranking[1]
    against = text[text.index("**PGD · 16 shots against plain · 16 shots**"):]
    assert "\n\nRuns: [plain · 16 shots](#runs-plain-16-shots), [PGD · 16 shots](#runs-pgd-16-shots)." in against[:2500]


def test_a_cell_that_skips_a_stage_ends_with_the_one_before(tmp_path: Path) -> None:
    stages = {"base": {"recipe": "nli_small", "evaluate": ["--tasks xnli"]},
              "target": {"recipe": "nli_small", "start": "{base}/best", "evaluate": ["--tasks xnli"]}}
    study = make_study(stages=stages, levels={"plain": "plain", "pgd": "PGD"})
    graph = make_graph(study)
    cells = [replace(cell, runs={"base": cell.runs["target"]}, evaluations={"base": cell.evaluations["target"]})
             if cell.levels["method"] == "plain" else cell for cell in graph.cells]
    write_runs(tmp_path, graph, gain, luck=0.01)
    first, second = read_designs(study, Graph(graph.nodes, cells), tmp_path)
    assert (first.stage, second.stage) == ("target", "base")
    assert [(run.label, run.seed) for run in first.runs] == [
        (label, seed) for label in ("plain", "PGD") for seed in (0, 1, 2)]
    assert first.pairs(study.comparisons[0]) == [("plain", "PGD")]
    assert [run.label for run in second.runs] == ["base"] * 3


@pytest.mark.parametrize(("text", "name"), [
    ("/a/runs/intermediate-nli-seed0-77065e/best", "intermediate-nli"), ("/a/runs/soup/best", "soup"),
    ("/a/e5", "e5"), ("FacebookAI/xlm-roberta-large", "FacebookAI/xlm-roberta-large")])
def test_models_are_named_without_folders_of_this_machine(text: str, name: str) -> None:
    assert design._name(text) == name


def test_sections_of_a_whole_report(whole: Path) -> None:
    text = (whole / "report" / "report.md").read_text()
    found = re.findall(r"^##+ (.*)$", text, re.M)
    order = ["Hypothesis", "Limits", "xnli / test", "By language", "Method against plain",
             "Shots against PGD · 0 shots", "Average of the last snapshots", "Groups of languages",
             "Selection of the checkpoint", "Oracle", "xnli+noise / test", "Perturbed sets", "Curves", "Data maps",
             "Effect against distance", "Missing cells", "How these numbers were made", "Runs"]
    places = [found.index(title) for title in order]
    assert places == sorted(places)
    ranking = text[text.index("**xnli / test: mean accuracy (%)**"):].split("\n\n")[1]
    labels = re.findall(r"^\| \[([^]]+)\]", ranking, re.M)
    assert sorted(labels) == ["PGD · 0 shots", "PGD · 16 shots", "plain · 0 shots", "plain · 16 shots"]
    assert labels[:2] == ["PGD · 16 shots", "PGD · 0 shots"]
    assert "PGD · 0 shots (average of last 3)" in text
    assert "for 2 comparisons" in text  # PGD against plain at both numbers of shots


@pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"no browser at {CHROMIUM} (Debian: chromium)")
def test_the_page_in_a_browser(whole: Path) -> None:
    from playwright.sync_api import sync_playwright

    said: list[str] = []
    figures = sorted((whole / "report" / "figures").glob("*.svg"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        for width in (390, 1400):
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
            page.on("pageerror", lambda error: said.append(f"error: {error}"))
            page.on("requestfailed", lambda request: said.append(f"failed: {request.url[:80]}"))
            page.goto((whole / "report" / "report.html").as_uri())
            page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
            page.wait_for_timeout(50)
            assert page.evaluate(FAULTS) == []
            drawn = page.evaluate("""[...document.querySelectorAll('figure svg')].filter(svg => svg.checkVisibility())
                .map(svg => [svg.getBoundingClientRect().width, svg.querySelectorAll('text').length,
                             svg.querySelectorAll('path, use, image').length])""")
            assert len(drawn) == len(figures) >= 9
            assert all(150 < w <= width and words > 5 and shapes > 10 for w, words, shapes in drawn), drawn
        browser.close()
    assert said == []


@pytest.fixture
def no_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave TensorBoard out: drawing every figure once more takes longer than everything else here."""
    monkeypatch.setattr(events.TimelessEventFile, "figure", lambda *_, **__: None)


def test_labels_of_the_languages_are_complete() -> None:
    assert set(TOKENS) == set(LANGUAGES)
