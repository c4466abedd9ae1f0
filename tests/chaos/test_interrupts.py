"""Ctrl-C in a training: it saves and says so in a line, alone and under launchers; the second one ends it at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_prep.base import interrupt
from tests.chaos.ranks import ROOT, WORKER, Ranks, hear_ctrl_c, start
from tests.chaos.test_ranks import command, until
from tests.trainer.small_runs import metrics_of
from trainer.checkpoint import layout, universal
from trainer.distributed.ranks import free_port
from trainer.kernels import build

SAVED = "stopped by SIGINT: saved after step "


def test_a_training_saves_and_goes_on(recipe: Path, tmp_path: Path) -> None:
    """... also where it is told twice of one Ctrl-C, as launchers and `timeout` do it."""
    whole = start(2, command(recipe, "whole"), tmp_path)
    assert whole.wait() == [0, 0], whole.said()
    ranks = start(2, command(recipe, "asked"), tmp_path, {"slow_write": 1.0})
    folder = recipe.parent / "runs/asked"
    until(folder / "metrics.jsonl", ranks)
    ranks.kill(signal.SIGINT)
    ranks.kill(signal.SIGINT)
    assert ranks.wait() == [75, 75], ranks.said()
    said = ranks.said()
    assert "Traceback" not in said
    told, line = [line for line in said.splitlines() if "SIGINT" in line or "interrupt" in line]
    assert told == "SIGINT: stops after the step or evaluation under way"
    assert line.startswith(SAVED)
    assert line.endswith(" of 12; the same command resumes from there")
    again = start(2, command(recipe, "asked"), tmp_path)
    assert again.wait() == [0, 0], again.said()
    assert "resumed after step" in again.said()
    assert metrics_of(folder) == metrics_of(recipe.parent / "runs/whole")


def test_the_second_one_ends_it_though_the_other_rank_hangs(recipe: Path, tmp_path: Path) -> None:
    """Rank 0 waits for the other's part of a sum, where no Python runs."""
    ranks = start(2, command(recipe, "hang"), tmp_path, {"hang": {"step": 8, "rank": 1}})
    folder = recipe.parent / "runs/hang"
    end = time.monotonic() + 120
    while len(metrics_of(folder) if (folder / "metrics.jsonl").exists() else []) < 6:
        assert time.monotonic() < end, ranks.said()
        time.sleep(0.1)
    kept = layout.complete_checkpoints(folder)
    for _ in range(2):
        time.sleep(2 * interrupt.ECHO_SECONDS)
        ranks.kill(signal.SIGINT)
    assert ranks.wait() == [130, 130], ranks.said()
    said = ranks.said()
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if "interrupt" in line]
    assert line == "interrupted twice, and left at once: the same command goes on from the last whole checkpoint"
    assert layout.complete_checkpoints(folder)[: len(kept)] == kept


@pytest.mark.parametrize("launcher", ["deepspeed", "torchrun"])
def test_under_launchers(launcher: str, recipe: Path, tmp_path: Path) -> None:
    """A terminal tells the whole process group; a launcher then tells, or ends, its ranks in a way of its own."""
    port, programs = str(free_port()), Path(sys.executable).parent
    words = {"deepspeed": ["--num_accelerators", "2", "--master_port", port],
             "torchrun": ["--nproc-per-node", "2", "--master-port", port]}[launcher]
    env = os.environ | {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "FAULTS": '{"slow_write": 0.3}',
                        "PATH": f"{programs}:{os.environ['PATH']}"}
    log, folder = tmp_path / "log", recipe.parent / "runs" / launcher
    with log.open("wb") as stream:
        launched = subprocess.Popen([str(programs / launcher), *words, WORKER, *command(recipe, launcher)], cwd=ROOT,
                                    env=env, stdout=stream, stderr=subprocess.STDOUT, process_group=0,
                                    preexec_fn=hear_ctrl_c)
    ranks = Ranks([launched], [log])
    until(folder / "metrics.jsonl", ranks)
    os.killpg(launched.pid, signal.SIGINT)
    ranks.wait()
    end = time.monotonic() + 60
    while SAVED not in ranks.said():  # DeepSpeed's launcher ends before its ranks do
        assert time.monotonic() < end, ranks.said()
        time.sleep(0.1)
    again = start(2, command(recipe, launcher), tmp_path)
    assert again.wait() == [0, 0], again.said()
    saved = ranks.said().split(SAVED)[1].split()[0]
    assert f"resumed after step {saved}," in again.said()


@pytest.mark.parametrize(("program", "module"), [
    ("data_prep --help", "data_prep.base.cli"), ("data_prep verify shards", "data_prep.verify"),
    ("trainer --help", "data_prep.base.cli"), ("trainer report runs", "trainer.report"),
    ("slurm.submit --help", "data_prep.base.cli"), ("slurm.status --help", "data_prep.base.cli")])
def test_programs_that_are_still_starting(program: str, module: str, tmp_path: Path) -> None:
    """Told while modules are imported, those of a program or of the command, which can take seconds."""
    slow = tmp_path / "sitecustomize.py"
    slow.write_text("import os, signal, sys\nclass Importing:\n    def find_spec(self, name, path=None, target=None):\n"
                    f"        if name == {module!r}:\n            os.killpg(0, signal.SIGINT)\n"
                    "sys.meta_path.insert(0, Importing())\n")
    env = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run([sys.executable, "-m", *program.split()], env=env, cwd=tmp_path,
                          capture_output=True, text=True, process_group=0, preexec_fn=hear_ctrl_c, timeout=120,
                          check=False)
    assert done.returncode == 130, done.stderr
    assert done.stderr == "interrupted before it began: nothing was written\n"


def test_in_the_background_of_a_script_it_is_not_for_us(tmp_path: Path) -> None:
    """A shell without job control starts `command &` with SIGINT ignored, and means it."""
    words = ("import os, signal; from data_prep.base import interrupt; interrupt.listen(); "
             "os.kill(os.getpid(), signal.SIGINT); print('goes on')")
    done = subprocess.run([sys.executable, "-c", words], cwd=ROOT, capture_output=True,
                          text=True, timeout=60, check=False,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert (done.returncode, done.stdout, done.stderr) == (0, "goes on\n", "")


def test_a_long_call_without_python_ends_at_the_first_one() -> None:
    """As SentencePiece's training does; this one comes back to Python only at its end."""
    words = ("import threading; from data_prep.base import interrupt; interrupt.listen(); interrupt.begin()\n"
             "with interrupt.at_once('nothing was written'): print('there', flush=True); threading.Event().wait(300)")
    process = subprocess.Popen([sys.executable, "-c", words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, preexec_fn=hear_ctrl_c)
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=120)[1] == "interrupted by Ctrl-C; nothing was written\n"
    assert process.returncode == 130


@pytest.mark.parametrize("what", ["converter", "compiler"])
def test_helpers_of_a_training_are_not_told(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended by a Ctrl-C that lets the training save, they would count as broken."""
    program = tmp_path / what
    program.write_text(f"#!/bin/sh\nps -o pgid= -p $$ >{tmp_path}/group\nexit 1\n")
    program.chmod(0o755)
    if what == "converter":
        monkeypatch.setattr(universal.sys, "executable", str(program))
        assert universal.convert(tmp_path / "source", tmp_path / "target") is not None
    else:
        monkeypatch.setenv("CXX", str(program))
        with pytest.raises(build.Unbuildable):
            build._compile(tmp_path / "library.so")
    assert int((tmp_path / "group").read_text()) != os.getpgid(0)
