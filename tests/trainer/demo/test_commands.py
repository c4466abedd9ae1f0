"""`trainer toy data` and `toy languages`: finished once, refused for other arguments, nothing left after a failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.base.errors import InputError
from data_prep.languages import language_info
from data_prep.sources.find import cells_of
from data_prep.sources.revisions import Revisions
from data_prep.tasks import TASKS
from tests.trainer.demo.test_distance import save_model
from trainer.demo import RECORD, commands, distance
from trainer.demo.languages import languages
from trainer.demo.write import describe_languages, write_world
from trainer.demo.write_tasks import StudySizes

SMALL = ("documents=40,rich_documents=9,text_dev=2,easier_pairs=9,easier_dev=3,pairs=9,dev=6,test=6,harder_pairs=9,"
         "sentiment=8,similarity=9,tagged=5,translations=3,unlabelled=3,held_out=3")


def test_data_is_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                              monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "raw"

    def fail(folder: Path, *_: object) -> None:
        (folder / "half").touch()
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(commands, "write_study_world", fail)
        with pytest.raises(OSError, match="no space"):
            commands.data(str(out), sizes=SMALL)
    assert not list(tmp_path.iterdir())
    commands.data(str(out), sizes=SMALL)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    commands.data(str(out), sizes=SMALL)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert "is finished" in capsys.readouterr().out
    with pytest.raises(InputError, match="made with another seed"):
        commands.data(str(out), seed=1, sizes=SMALL)
    with pytest.raises(InputError, match="made with another sizes"):
        commands.data(str(out))
    (tmp_path / "thesis").mkdir()
    with pytest.raises(InputError, match=r"without toy\.json; choose another OUT"):
        commands.data(str(tmp_path / "thesis"))


def test_the_demos_files_alone(tmp_path: Path) -> None:
    """... are those that the writer of the demo's world gives; a folder of all tasks is another one."""
    out, sizes = tmp_path / "raw", commands.parse_sizes(SMALL)
    commands.data(str(out), seed=3, sizes=SMALL, tasks="demo")
    write_world(tmp_path / "world", 3, languages(3), sizes)
    describe_languages(tmp_path / "world", languages(3))
    files = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert files.pop(Path(RECORD))
    assert files == {path.relative_to(tmp_path / "world"): path.read_bytes()
                     for path in (tmp_path / "world").rglob("*") if path.is_file()}
    (cell,), unread = cells_of(TASKS["xnli"], str(out / "xnli"), ["ga"], ["test"], False, Revisions(out))
    assert language_info(cell.language, cell.folder).family == "Artificial"
    assert not unread
    with pytest.raises(InputError, match="made with another tasks"):
        commands.data(str(out), seed=3, sizes=SMALL)
    with pytest.raises(InputError, match="--tasks must be all or demo, found 'xnli'"):
        commands.data(str(out), tasks="xnli")


@pytest.mark.parametrize("words", ["rows=3", "pairs=0", "pairs", "pairs=3,pairs=4", "english_share=1", ""])
def test_wrong_sizes_are_refused(words: str) -> None:
    with pytest.raises(InputError, match="expected NAME=ROWS"):
        commands.parse_sizes(words)


def test_sizes_not_named_keep_their_defaults() -> None:
    assert commands.parse_sizes("pairs=7, dev=6") == StudySizes(pairs=7, dev=6)


def test_languages_are_added_once(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                  monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = save_model(tmp_path / "pretrained"), tmp_path / "model"
    with pytest.raises(InputError, match="is missing; expected the folder of a finished model"):
        commands.languages(str(tmp_path), str(out))
    commands.languages(str(source), str(out))
    monkeypatch.setattr(distance, "extend", None)  # a second call does no work
    commands.languages(str(source), str(out))
    assert "is finished" in capsys.readouterr().out
    with pytest.raises(InputError, match="made with another seed"):
        commands.languages(str(source), str(out), seed=2)
