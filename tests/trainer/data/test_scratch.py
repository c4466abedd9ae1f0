"""Cells on a node's own disk: copied once, read from there, and never a reason to fail."""

from __future__ import annotations

import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from data_prep.base.errors import InputError
from data_prep.shards.read import open_cell
from tests.random_cells import write_random_cell
from trainer.data.scratch import VARIABLE, open_near


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    write_random_cell(tmp_path / "shared", "xnli/train/en", 20)
    return tmp_path / "shared/xnli/train/en"


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "local"))
    return tmp_path / "local"



def test_rows_come_from_the_copy_under_the_shared_name(cell: Path, scratch: Path) -> None:
    there = open_cell(cell)
    near = open_near(cell)
    assert near.path == cell
    assert near.manifest == there.manifest
    assert near.dataset[:] == there.dataset[:]
    assert all(str(scratch) in entry["filename"] for entry in near.dataset.cache_files)


def test_without_the_variable_nothing_is_copied(cell: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert all(str(cell) in entry["filename"] for entry in open_near(cell).dataset.cache_files)
    assert [path.name for path in tmp_path.iterdir()] == ["shared"]


def test_ranks_of_a_node_copy_it_once(cell: Path, scratch: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with ProcessPoolExecutor(4, multiprocessing.get_context("fork")) as pool:
        assert list(pool.map(rows_of, [cell] * 4)) == [20] * 4
    assert capfd.readouterr().err == ""  # a second copy could not take the first one's place


def rows_of(cell: Path) -> int:
    return len(open_near(cell))


def test_it_is_copied_anew_when_it_was_built_anew(
    cell: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[Path] = []
    copy = shutil.copytree
    monkeypatch.setattr(shutil, "copytree", lambda *words: copies.append(words[0]) or copy(*words))
    open_near(cell)
    open_near(cell)
    assert copies == [cell]
    shutil.rmtree(cell)
    write_random_cell(cell.parents[2], "xnli/train/en", 10, seed=5)
    assert len(open_near(cell).dataset) == 10
    assert copies == [cell, cell]


def test_a_scratch_that_cannot_be_written_is_one_warning(
    cell: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file"))
    assert len(open_near(cell).dataset) == 20
    assert capsys.readouterr().err.startswith(f"warning: {VARIABLE}={tmp_path / 'file'}: ")


def test_a_damaged_copy_is_not_read(cell: Path, scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_near(cell)
    (shard,) = scratch.rglob("*.arrow")
    shard.write_bytes(shard.read_bytes()[:-8])
    assert open_near(cell).dataset[:] == open_cell(cell).dataset[:]
    assert "warning" in capsys.readouterr().err


def test_a_damaged_cell_is_told_by_its_own_path(cell: Path, scratch: Path) -> None:
    (cell / "manifest.json").unlink()
    with pytest.raises(InputError, match=str(cell)):
        open_near(cell)
    assert not scratch.exists()
