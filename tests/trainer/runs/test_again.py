"""`trainer train RUN`: a run goes on from any working directory, also when its project was moved."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.run_records import record_of
from tests.trainer.small_runs import (
    killed_at,
    launcher_variables_kept,
    losses_of,
    metrics_of,
    write_cells,
    write_recipe,
)
from trainer.evaluate.shards_root import find_shards_root
from trainer.runs.again import going_on, named_run
from trainer.runs.record import FinishedRecord
from trainer.train import train


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with shards/ and a recipe that names them by a relative path, as the working directory."""
    project = tmp_path / "project"
    write_cells(project / "shards")
    recipe = write_recipe(project, Path("shards"))
    recipe.write_text(recipe.read_text().replace(f"output: {project}/runs", "output: runs"))
    monkeypatch.chdir(project)
    return project


def test_a_moved_run_goes_on_from_elsewhere(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with launcher_variables_kept():
        assert train("small.yaml", name="whole") == 0
        with killed_at(4):
            train("small.yaml", name="dead")
        assert json.loads(Path("runs/dead/run.json").read_text())["started_in"] == "../.."
        moved = tmp_path / "moved"
        shutil.move(project, moved)
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert train("../moved/runs/dead") == 0
        assert train(str(moved / "runs/dead/config.yaml")) == 0  # done: nothing to do
    assert Path.cwd() == tmp_path / "elsewhere"
    assert not list(Path.cwd().iterdir())
    assert metrics_of(moved / "runs/dead") == metrics_of(moved / "runs/whole")
    assert len(losses_of(moved / "runs/dead")) == 10
    record = json.loads((moved / "runs/dead/run.json").read_text())
    assert (record["started_in"], record["shards_root"]) == ("../..", "shards")


def test_overrides_are_paths_of_here(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = project / "runs/a"
    run.mkdir(parents=True)
    (run / "config.yaml").touch()
    assert named_run(str(run)) is None  # it has not begun
    (run / "run.json").write_text(json.dumps(record_of(started_in="../..")))
    assert named_run(str(run)) == named_run(str(run / "config.yaml")) == run
    shutil.copytree(run, project / "xnli_plain")
    assert named_run("xnli_plain") is None  # the recipe that ships
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.json").touch()
    with going_on(Path("project/runs/a"), {"engine.config": "mine.json", "seed": "3"}) as (config, given):
        assert Path.cwd() == project
        assert config == str(run / "config.yaml")
        assert given == {"name": "a", "output": str(project / "runs"), "data.shards": "shards", "seed": "3",
                         "engine.config": str(tmp_path / "mine.json")}
    shutil.move(project / "shards", tmp_path / "shards")
    with going_on(Path("project/runs/a"), {}) as (_, given):
        assert given["data.shards"] == str(tmp_path / "shards")  # above the run, by name


def test_its_own_shards_come_before_those_of_the_working_directory(project: Path, tmp_path: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    record = FinishedRecord.model_validate(record_of(
        started_in="../..", shards_path=str(project / "shards"), selection={"step": 1}, oracle_by_cell={}))
    assert find_shards_root(Path("runs/a"), record, None) == Path("shards")
    write_cells(tmp_path / "other/shards")
    monkeypatch.chdir(tmp_path / "other")
    assert find_shards_root(project / "runs/a", record, None) == project / "shards"
    moved = Path(shutil.move(project, tmp_path / "moved"))
    assert find_shards_root(Path(os.path.relpath(moved / "runs/a")), record, None) == moved / "shards"
    assert find_shards_root(tmp_path / "copied/runs/a", record, None) == Path("shards")  # no others are left
