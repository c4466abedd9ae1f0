"""The shards of a run that was moved, or that is evaluated from another working folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data_prep.base.errors import InputError
from tests.random_cells import write_random_cell
from tests.run_records import record_of
from trainer.diagnose.run import diagnose
from trainer.evaluate.run import evaluate
from trainer.evaluate.shards_root import find_shards_root
from trainer.runs.record import FinishedRecord


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with shards/, cells/old/ and runs/a/, looked at from a folder beside it."""
    project = tmp_path / "project"
    for root in ("shards", "cells/old"):
        write_random_cell(project / root, "xnli/dev/en", 5)
    (project / "runs/a").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return project


def trained_from(root: str, whole: str | None = None) -> FinishedRecord:
    return FinishedRecord.model_validate(
        record_of(shards_root=root, shards_path=whole, selection={"step": 1}, oracle_by_cell={}))


@pytest.mark.parametrize(("recorded", "whole", "found"), [
    ("shards", None, "shards"),  # beside runs/
    ("./shards/", None, "shards"),
    ("cells/old", None, "cells/old"),
    ("../shards", None, "shards"),  # the folder of that name, though training ran somewhere deeper
    ("shards", "/gone/shards", "shards"),
    ("/gone/shards", "/gone/shards", "shards"),  # moved together with its shards
    ("old", "{project}/cells/old", "cells/old"),  # recorded in full
    ("{project}/cells/old", None, "cells/old"),
])
def test_looked_for_beside_the_run(project: Path, recorded: str, whole: str | None, found: str,
                                   capsys: pytest.CaptureFixture[str]) -> None:
    noted = trained_from(recorded.format(project=project), whole and whole.format(project=project))
    for run in (project / "runs/a", Path("../project/runs/a")):
        assert find_shards_root(run, noted, None) == project / found
    line = f"shards: {project / found} (the run was trained from {noted.shards_root}, where there are none)\n"
    assert capsys.readouterr().out == ("" if Path(noted.shards_root).is_dir() else 2 * line)


def test_the_recorded_folder_comes_first(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_random_cell(tmp_path / "elsewhere/shards", "xnli/dev/en", 5)
    assert find_shards_root(project / "runs/a", trained_from("shards"), None) == Path("shards")
    (tmp_path / "elsewhere/cells/old").mkdir(parents=True)  # empty: none of a run's
    assert find_shards_root(project / "runs/a", trained_from("cells/old"), None) == project / "cells/old"
    assert find_shards_root(project / "runs/a", trained_from("shards"), "/any") == Path("/any")
    assert capsys.readouterr().out.count("\n") == 1


def test_where_there_are_none_the_line_names_the_flag(project: Path) -> None:
    with pytest.raises(InputError, match=r"trained from the shards in lost, .* name their folder with --shards"):
        find_shards_root(project / "runs/a", trained_from("lost", "/gone/lost"), None)


@pytest.mark.parametrize("command", [evaluate, diagnose])
def test_evaluate_and_diagnose_look_there(command: Any, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """... for the cells that they are asked for, of which there are none."""
    noted = trained_from("shards")
    for module in ("trainer.evaluate.run", "trainer.diagnose.run"):
        monkeypatch.setattr(f"{module}.read_finished", lambda folder, *more, **named: noted)
    (project / "runs/a/config.yaml").write_text(
        "data: {train: [xnli/train/en]}\nschedule: {max_steps: 1}\nmodel: {random: tiny}\n")
    with pytest.raises(InputError, match=f"{project}/shards: no finished cell sick/test/.*--shards"):
        command(str(project / "runs/a"), tasks="sick")
    noted = trained_from("lost")
    with pytest.raises(InputError, match="name their folder with --shards"):
        command(str(project / "runs/a"), tasks="sick")
