"""The studies that ship: every one is planned at every size, and run at toy size.

    python -m pytest tests/trainer/studies/test_shipped.py -m slow     three of them, on few rows and for few steps
    python -m pytest tests/trainer/studies/test_shipped.py -m full     the others so, and all as they are: over an hour
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.base.cli import check_arguments
from data_prep.base.command_table import resolve
from data_prep.commands import COMMANDS as PREPARE
from tests.command_tables import chosen
from tests.trainer.small_runs import launcher_variables_kept
from trainer.commands import COMMANDS as TRAIN
from trainer.studies.contents import Contents
from trainer.studies.expand import build_graph
from trainer.studies.graph import Graph
from trainer.studies.load import FOLDER, load_study, shipped
from trainer.studies.local import ROOT
from trainer.studies.node import run_node
from trainer.studies.report import write_study_report
from trainer.studies.schema import Study
from trainer.studies.states import endings, write_graph

STUDIES = [name for name in shipped() if name != "demo"]
COMPLETE = "None: every cell of the study has all its results."
SIZES = ("toy", "small", "full")
GIVEN = {("small", ""): {"source": "files", "model": "encoder"}, ("full", "robust_xlt"): {"neighbours": "words.txt"}}
FEW_ROWS = ("documents=400,rich_documents=200,text_dev=8,easier_pairs=112,easier_dev=9,pairs=64,dev=9,test=12,"
            "harder_pairs=64,sentiment=64,similarity=64,tagged=40,translations=40,unlabelled=20,held_out=9")
FEW_STEPS = {"schedule.max_steps": 6, "evaluation.every_steps": 1, "evaluation.on_collapse": "warn",
             "checkpoint.every_steps": 6}
CHEAP = ("few_shot", "intermediate_difficulty", "self_training")
"""Run by CI: between them they have every command of the studies, but those that the demo runs too."""
LEVELS = {"few_shot": {"shot": ["0", "1"], "task": ["none"]}, "intermediate_difficulty": {"task": ["none", "hard"]},
          "self_training": {"labels": ["none", "every"]}}
"""Of the cheap ones: nothing is sure to a model of six steps."""


def graph_of(study: Study, out: Path) -> Graph:
    return build_graph(study, FOLDER, out, Contents(out), frozenset())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", STUDIES)
def test_every_study_is_planned_at_every_size(name: str, size: str, tmp_path: Path) -> None:
    """Recipes are valid, data has a step that makes it, and the programs take the commands."""
    study = load_study(shipped()[name], size, GIVEN.get((size, name), GIVEN.get((size, ""), {})), [3])
    graph = graph_of(study, tmp_path / "out")
    assert len(graph.cells) == len({tuple(cell.levels.items()) for cell in graph.cells}) > 1
    assert all(cell.evaluations for cell in graph.cells)
    for program, *words in (node.words for node in graph.nodes.values()):
        command, rest = chosen(PREPARE if program == "data_prep" else TRAIN, words)
        check_arguments(resolve(command), rest, words[0])
    assert not (tmp_path / "out").exists()


def tiny(name: str) -> Study:
    """The study at toy size with few rows, steps and levels."""
    study = load_study(shipped()[name], "toy", {"rows": FEW_ROWS}, [0])
    stages = {key: stage.model_copy(update={"set": {**stage.set, **FEW_STEPS}}) for key, stage in study.stages.items()}
    return study.model_copy(update={"stages": stages, "levels": LEVELS.get(name, {})})


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.slow if name in CHEAP else pytest.mark.full) for name in STUDIES])
def test_every_command_of_a_study_does_its_work(
        name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In this very process, as most of the time of a small command is that of its imports."""
    monkeypatch.setattr(sys, "argv", sys.argv[:])
    study = tiny(name)
    graph = graph_of(study, tmp_path)
    write_graph(tmp_path, graph)
    for node in graph.nodes.values():
        with launcher_variables_kept():
            code = run_node(tmp_path, node)
        said = capsys.readouterr()
        assert code == 0, f"{node.words}\n{said.out[-2000:]}\n{said.err[-2000:]}"
    if name in CHEAP[1:2] or name not in CHEAP:
        assert write_study_report(study, graph, tmp_path) == 0
        assert COMPLETE in (tmp_path / "report/report.md").read_text(encoding="utf-8")


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", STUDIES)
def test_every_study_runs_as_it_is(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trainer", "study", "run", name, "--size", "toy", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"DS_ACCELERATOR": "cpu"}, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "FAILED" not in done.stdout
    graph = graph_of(load_study(shipped()[name], "toy"), tmp_path / "out")
    assert {ending.state for ending in endings(tmp_path / "out", graph.nodes.values()).values()} == {"done"}
    assert COMPLETE in (tmp_path / "out/report/report.md").read_text(encoding="utf-8")
