"""Report of a study: answers on runs with known effects, retried and missing cells, links, equal bytes."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from tests.trainer.studies.synthetic_study import LANGUAGES, TOKENS, end, make_graph, make_study, write_runs
from trainer.plots import events
from trainer.studies.report import write_study_report
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
    assert re.match(r"PGD gains against plain \(\+[4-9]\.\d points, 95 % interval \[\+[^]]+\]\) in the mean accuracy "
                    r"over 4 languages not trained on \(xnli / test\), with 3 seeds after Holm's correction for 2 "
                    r"comparisons\. No difference can be claimed for random noise\.$", text), text


def test_no_effect_no_claim(tmp_path: Path) -> None:
    study = make_study(levels={"plain": "plain", "noise": "random noise"})
    text = said(study, tmp_path)
    assert text.startswith("No difference can be claimed with 3 seeds: random noise differs from plain by ")
    assert re.search(r"95 % interval \[−\d+\.\d, \+\d+\.\d\], in the mean accuracy over 4 languages", text)
    assert "in 80 % of cases" in text


def test_under_three_seeds_nothing_is_said(tmp_path: Path) -> None:
    text = said(make_study(seeds=(0, 1)), tmp_path, luck=0.0)
    assert text.startswith("Nothing can be said of method yet: that takes at least 3 seeds, and there are 2 seeds. "
                           "On these runs, PGD differs from plain by +")


def test_missing_cells_are_shown(tmp_path: Path, no_events: None) -> None:
    study, graph = make_study(), make_graph(make_study())
    write_runs(tmp_path, graph, gain, skip=[("plain", 2), ("pgd", 0)], luck=0.0)
    end(tmp_path, graph, "target-pgd-seed0-abc123", "collapsed")
    assert write_study_report(study, graph, tmp_path) == 1
    text = (tmp_path / "report" / "report.md").read_text()
    assert "- plain, 1 seed (2), target: not run yet." in text
    assert "- PGD, 1 seed (0), target: target-pgd-seed0-abc123 collapsed." in text
    assert "Incomplete: 2 of 9 cells of target without all results" in text
    assert "Nothing can be said of method yet" in text  # one seed is left of both plain and PGD, two of noise
    assert "| evaluate1-target-pgd-seed0-abc123 | blocked |" in text


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
    assert "PGD gains against plain" in text
    assert "PGD: 1 training collapsed or diverged and was replaced by a new seed" in text
    with (tmp_path / "report" / "results.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] == "PGD" and row["selection"] == "best"]
    assert {row["seed"] for row in rows} == {"0", "1", "2"}
    assert {row["run"] for row in rows if row["seed"] == "1"} == {"target-pgd-seed1001-abc123"}
    assert {row["method"] for row in rows} <= {"pgd", "plain"}
    assert {row["run_path"] for row in rows} == {f"../runs/{row['run']}" for row in rows}


def test_links_lead_to_runs_and_nothing_names_this_machine(tmp_path: Path) -> None:
    study = make_study(curves=[{"factor": "method"}])
    graph = make_graph(study)
    write_runs(tmp_path, graph, gain, tasks={"xnli": 0.0, "xnli+noise": 0.3})
    assert write_study_report(study, graph, tmp_path) == 0
    report = tmp_path / "report"
    page, text = (report / "report.html").read_text(), (report / "report.md").read_text()
    links = set(re.findall(r'href="([^"]+)"', page)) | set(re.findall(r"\]\(([^)\s]+)\)", text))
    for link in links - {"data:,"}:
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in page, link
        elif not link.endswith(".svg"):
            assert (report / link).exists(), link
    assert {link for link in links if link.startswith("../runs/")} == {
        f"../runs/{cell.runs['target']}" for cell in graph.cells}
    for file in (path for path in report.rglob("*") if path.is_file()):
        assert str(tmp_path).encode() not in file.read_bytes()
        assert b"/somewhere" not in file.read_bytes(), file
    assert "## Perturbed sets" in text
    assert "## Effect against distance" in text
    first = {path.relative_to(report): path.read_bytes() for path in report.rglob("*") if path.is_file()}
    assert len([path for path in first if path.parent.parent.name == "tensorboard"]) == 9
    assert write_study_report(study, graph, tmp_path) == 0
    assert {path.relative_to(report): path.read_bytes() for path in report.rglob("*") if path.is_file()} == first


@pytest.fixture
def no_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave TensorBoard out: drawing every figure once more takes longer than everything else here."""
    monkeypatch.setattr(events.TimelessEventFile, "figure", lambda *_: None)


def test_labels_of_the_languages_are_complete() -> None:
    assert set(TOKENS) == set(LANGUAGES)
