"""Files: all or nothing on disk, and one line for a validation error."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
from pathlib import Path

import pydantic
import pytest

from data_prep.base import files


class Point(pydantic.BaseModel):
    """A model to be refused."""

    model_config = pydantic.ConfigDict(extra="forbid")
    x: int
    tags: list[str] = []


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    files.write_json(path, {"ü": 1})
    assert path.read_text(encoding="utf-8") == '{\n  "ü": 1\n}\n'
    with pytest.raises(TypeError):
        files.write_json(path, {"no JSON": object()})
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        files.write_text(path, "new")
    assert files.read_json(path) == {"ü": 1}


def test_leftovers_of_dead_processes_of_this_host_are_removed(tmp_path: Path) -> None:
    dead, here = subprocess.Popen(["true"]), socket.gethostname()
    dead.wait()
    kept = [f".a.json.tmp-{os.getpid()}@{here}", f"runs/.b.tmp-{dead.pid}@elsewhere", f".c.tmp-{dead.pid}",
            ".d.tmp-x@y", f"e.tmp-{dead.pid}@{here}"]
    gone = [f".a.json.tmp-{dead.pid}@{here}", f"runs/one/.best.tmp-{dead.pid}@{here}/weights",
            f"runs/.best.tmp-{dead.pid}@{here}.old/weights"]
    for name in (*kept, *gone):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files.remove_unfinished(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)
    path = tmp_path / "f"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: None)
        files.write_text(path, "killed before the renaming")
    assert [left.name for left in tmp_path.glob(".f.*")] == [f".f.tmp-{os.getpid()}@{here}"], "such names are written"


def test_working_file_replaces_only_on_success(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("old")
    with pytest.raises(TypeError), files.working_file(path, "evaluate") as temporary:
        temporary.write_text(b"half a file of the wrong type")  # type: ignore[arg-type]
    assert path.read_text() == "old"
    with files.working_file(path, "evaluate") as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [found.name for found in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize("content", ["", "[1]", '{"cut": ', "[" * 100_000])
def test_damaged_json_reads_as_empty(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    assert files.read_json(tmp_path / "run.json") == {}
    assert files.read_json(tmp_path / "absent.json") == {}


@pytest.mark.parametrize(("given", "line", "found"), [
    ({"x": "y"}, "x: Input should be a valid integer, unable to parse string as an integer", "'y'"),
    ({"x": 1, "tags": ["a", 2]}, "tags.1: Input should be a valid string", "'2'"),
    ({"x": 1, "y": 2}, "y: Extra inputs are not permitted", "'2'"),
])
def test_first_error_is_one_line(given: dict[str, object], line: str, found: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        Point.model_validate(given)
    assert files.first_error(caught.value) == line
    assert files.first_error(caught.value, quote=True) == f"{line}, found {found}"


def test_file_hash(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content := os.urandom(100_000))
    assert files.file_sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_put_in_place_overwrites_only_when_told(tmp_path: Path) -> None:
    for name in ("cell", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").write_text(json.dumps(name))
    with pytest.raises(files.InputError, match="written by another process meanwhile"):
        files.put_in_place(tmp_path / "new", tmp_path / "cell")
    files.put_in_place(tmp_path / "new", tmp_path / "cell", overwrite=True)
    assert (tmp_path / "cell" / "content").read_text() == '"new"'
    assert [found.name for found in tmp_path.iterdir()] == ["cell"]
