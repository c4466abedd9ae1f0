"""Locks: one owner at a time, whoever is killed; nothing is left behind but what a killed one could not remove."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_prep.base import lock
from data_prep.base.errors import InputError
from data_prep.base.lock import held, held_beside, working_path

ROOT = Path(__file__).parents[3]
HOLD = """
import sys, time
from pathlib import Path
from data_prep.base.lock import held
with held(Path(sys.argv[1]), "build"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""
COUNT = """
import sys
from pathlib import Path
from data_prep.base.lock import working_path
path = Path(sys.argv[1])
for _ in range(40):
    with working_path(path, "count", wait=True) as new:
        new.write_text(str(int(path.read_text() if path.exists() else 0) + 1))
        new.replace(path)
"""


def start(program: str, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program, *map(str, words)], cwd=ROOT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def owner(folder: Path, seconds: float = 60) -> subprocess.Popen[str]:
    """A process that holds `folder` by now."""
    process = start(HOLD, folder, seconds)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_told_who_is_first_until_that_one_is_killed(tmp_path: Path) -> None:
    first = owner(tmp_path / "out")
    try:
        message = rf"out is in use .*\(build, process {first.pid} on {socket.gethostname()}, since 20\d\d-.*\); wait"
        with pytest.raises(InputError, match=message) as caught, held(tmp_path / "out", "report"):
            pass
        assert "\n" not in str(caught.value)
    finally:
        first.kill()
        first.wait()
    assert (tmp_path / "out" / ".lock").exists(), "a killed owner cannot remove it"
    with held(tmp_path / "out", "report"):
        assert (tmp_path / "out" / ".lock").read_text().startswith(f"report, process {os.getpid()} on ")
    assert list((tmp_path / "out").iterdir()) == []


def test_waiting(tmp_path: Path) -> None:
    first = owner(tmp_path, seconds=0.5)
    with held(tmp_path, "report", wait=True):
        assert first.wait(timeout=10) == 0


def test_within_one_process_it_is_entered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with held(Path("out"), "demo"):
        with held(tmp_path / "out", "report"), held_beside(tmp_path / "out", "report"):
            pass
        refused = start(HOLD, tmp_path / "out", 0)
        assert "InputError" in refused.communicate()[1], "leaving the inner one has not let go"
    assert list(tmp_path.iterdir()) == []


def test_no_increment_is_lost(tmp_path: Path) -> None:
    """Owners remove the lock file while others are opening it, and still there is one owner at a time."""
    processes = [start(COUNT, tmp_path / "deep" / "count") for _ in range(3)]
    assert [process.communicate()[1] for process in processes] == [""] * 3
    assert (tmp_path / "deep" / "count").read_text() == "120"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["count"]


def test_a_forked_child_does_not_keep_the_lock_of_a_dead_parent(tmp_path: Path) -> None:
    program = f"""
import os, signal, sys, time
from pathlib import Path
from data_prep.base.lock import held
with held(Path({str(tmp_path)!r}), "build"):
    child = os.fork()
    if child:
        print(child, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
"""
    parent = start(program)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        assert parent.wait() == -signal.SIGKILL
        deadline = time.monotonic() + 5
        while True:  # the child may just be about to close it
            try:
                with held(tmp_path, "build"):
                    break
            except InputError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
    finally:
        os.kill(child, signal.SIGKILL)


def test_leavings_of_killed_processes_are_cleared(tmp_path: Path) -> None:
    for name in (".out.tmp-1@there", ".out.tmp-1@there.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "big").write_text("x")
    (tmp_path / ".out.tmp-2@here").write_text("x")
    (tmp_path / ".other.tmp-1@there").write_text("of another output")
    with working_path(tmp_path / "out", "build") as new:
        assert not new.exists()
        new.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [".other.tmp-1@there"]


def test_a_folder_that_is_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with working_path(Path("."), "report") as new:
        assert new.parent == tmp_path
        assert new.name.startswith(".here.tmp-")


def test_a_file_system_without_locks_is_warned_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    monkeypatch.setattr(lock, "_warned", False)
    (tmp_path / ".out.tmp-1@there").mkdir()
    for _ in range(2):
        with held(tmp_path, "build") as sure:
            assert not sure
        with working_path(tmp_path / "out", "build"):
            pass
    assert (tmp_path / ".out.tmp-1@there").exists(), "nobody knows whether its owner is dead"
    assert capsys.readouterr().err.count("warning: the file system of") == 1


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "out", Path("/proc/out")):
        with pytest.raises(InputError, match=r"cannot be written|no lock file can be made") as caught, \
                held(folder, "build"):
            pass
        assert "\n" not in str(caught.value)
