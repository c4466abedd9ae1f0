"""What the disk can do to a checkpoint: full at any write, read-only, a file gone, cut short or changed."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from data_prep.base.errors import InputError
from tests.trainer.small_runs import PGD, killed_at, metrics_of, run
from trainer.checkpoint import layout, store
from trainer.engine import checkpoint_writer as writer
from trainer.monitor.meter import Meter
from trainer.monitor.step_reduction import StepResult
from trainer.monitor.watcher import Watcher


class Writes:
    """Counts all that a save asks of the disk, and fails from number `fails_at` on."""

    def __init__(self) -> None:
        self.count, self.fails_at = 0, 10**9

    def __call__(self, original: Any, *arguments: Any) -> Any:
        self.count += 1
        if self.count >= self.fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(*arguments)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Writes:
    counted = Writes()
    for module, name in ((writer._Disk, "to_file"), (os, "fsync"), (os, "replace"), (store, "write_json")):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, original=original: counted(original, *a))
    return counted


@pytest.mark.parametrize("config", ["zero0", "zero2"])
def test_a_disk_that_is_full_at_any_write(recipe: Path, monkeypatch: pytest.MonkeyPatch, writes: Writes,
                                          config: str) -> None:
    """At each write, flush and rename of a save in turn, in one run that is asked for a save at every one of them."""
    original, tried = Watcher.__call__, []

    def call(self: Watcher, meter: Meter, result: StepResult) -> None:
        original(self, meter, result)
        if self.state.step != 4:
            return
        store_of_run = self.saver.store
        store_of_run.wait()
        folder = store_of_run._run_dir
        before = {path: sorted(p.name for p in path.iterdir()) for path in layout.complete_checkpoints(folder)}
        assert [layout.step_of(path) for path in before] == [3]
        writes.count, writes.fails_at = 0, 10**9
        store_of_run.save(self.state)
        store_of_run.wait()
        total = writes.count
        assert total > 20
        for number in range(1, total + 1):
            shutil.rmtree(folder / layout.FOLDER / layout.checkpoint_name(4), ignore_errors=True)
            writes.count, writes.fails_at = 0, number
            store_of_run.save(self.state)
            with pytest.raises(OSError, match="No space left"):
                store_of_run.wait()
            kept = {path: sorted(p.name for p in path.iterdir()) for path in layout.complete_checkpoints(folder)}
            assert before.items() <= kept.items()
            assert not any(layout.damaged_files(path, 0, 1) for path in kept)
            tried.append(number)
        writes.fails_at = 10**9

    monkeypatch.setattr(Watcher, "__call__", call)
    run(recipe, "full", {**PGD, "engine.config": config, "schedule.max_steps": "6"})
    assert len(tried) > 20
    print(f"{len(tried)} writes failed in turn")


LONGER = {"schedule.max_steps": "8", "checkpoint.keep_when_done": "true"}


def test_a_full_disk_ends_the_run_in_a_line_and_it_goes_on(recipe: Path, writes: Writes) -> None:
    whole = run(recipe, "whole", LONGER)
    with killed_at(4):
        run(recipe, "full", LONGER)
    writes.count, writes.fails_at = 0, 12
    with pytest.raises(InputError, match=r"No space left on device; the last whole checkpoint is untouched"):
        run(recipe, "full", LONGER)
    writes.fails_at = 10**9
    folder = recipe.parent / "runs/full"
    assert next(map(layout.step_of, layout.complete_checkpoints(folder))) == 3
    assert metrics_of(run(recipe, "full", LONGER)) == metrics_of(whole)
    assert not list((folder / layout.FOLDER).glob(".*"))


def test_a_read_only_folder(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Path.mkdir

    def mkdir(self: Path, *arguments: Any, **options: Any) -> None:
        if self.name.startswith(layout.TEMPORARY):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))
        original(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(InputError, match=r"\.tmp-step-00000003: Read-only file system"):
        run(recipe, "readonly")


@pytest.mark.parametrize("damage", ["flipped bit", "file gone", "cut short", "another's file"])
def test_a_damaged_checkpoint_is_told_and_an_older_one_taken(recipe: Path, damage: str,
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    whole = run(recipe, "whole")
    with killed_at(7):
        run(recipe, "damaged")
    folder = recipe.parent / "runs" / "damaged"
    three, six = layout.complete_checkpoints(folder)
    file = max(six.glob("*.pt"), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    if damage == "flipped bit":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif damage == "another's file":
        file.write_bytes((three / file.name).read_bytes())
    elif damage == "cut short":
        file.write_bytes(content[:-1])
    else:
        file.unlink()
    capsys.readouterr()
    assert metrics_of(run(recipe, "damaged")) == metrics_of(whole)
    said = capsys.readouterr()
    assert "resumed after step 3" in said.out
    assert ("is not what was written; an older checkpoint is taken" in said.err) == (
        damage in ("flipped bit", "another's file"))


def test_nothing_but_damaged_checkpoints(recipe: Path) -> None:
    with killed_at(4):
        run(recipe, "damaged")
    (only,) = layout.complete_checkpoints(recipe.parent / "runs/damaged")
    for file in only.glob("*.pt"):
        content = bytearray(file.read_bytes())
        content[1000] ^= 1
        file.write_bytes(content)
    with pytest.raises(InputError, match="every checkpoint is damaged; remove the folder"):
        run(recipe, "damaged")


def test_no_foreign_code_runs_when_a_checkpoint_is_loaded(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "harm"),))

    (tmp_path / "a.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(pickle.UnpicklingError):
        writer.Writer([], background=False).load(str(tmp_path / "a.pt"))
    assert not (tmp_path / "harm").exists()


def test_the_best_model_survives_a_death_between_two_renames(recipe: Path) -> None:
    with killed_at(5):
        run(recipe, "best")
    folder = recipe.parent / "runs/best"
    os.replace(folder / "best", folder / ".best.old-1")
    run(recipe, "best")
    assert (folder / "best/model.safetensors").is_file()
    assert not list(folder.glob(".best*"))
