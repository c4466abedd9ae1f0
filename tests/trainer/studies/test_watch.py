"""Display of a study that runs: bars on a terminal, lines at intervals elsewhere."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from data_prep.base.files import write_json
from tests.run_records import record_of
from tests.trainer.monitor.test_progress import Clock, Terminal
from tests.trainer.studies.small_study import write_study
from trainer.studies.graph import Graph, Node
from trainer.studies.load import load_study
from trainer.studies.show import show_status
from trainer.studies.watch import Watch

TRAINING = Node("train-target-1", "train", "d", (), "runs/one", stage="target")
BUILD = Node("build-2", "prepare", "e", (), "shards/x")


def logged(out: Path, *steps: int) -> None:
    run = out / TRAINING.output
    run.mkdir(parents=True, exist_ok=True)
    write_json(run / "run.json", {"max_steps": 100})
    (run / "metrics.jsonl").write_text("".join(
        json.dumps({"step": step, "train/loss": 1 / step, "speed/examples_per_second": 32.0}) + "\n" for step in steps))


def test_lines_where_there_is_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock(monkeypatch)
    with Watch(tmp_path) as watch:
        for second in range(70):
            clock.now = 1000.0 + second
            if second in (5, 60):
                logged(tmp_path, *range(10, second + 10, 10))
            watch.draw([TRAINING, BUILD] if second < 50 else [TRAINING], 3, 9, "6 nodes left, about 4 min")
    assert capsys.readouterr().out.splitlines() == [
        "  runs   train-target-1 10/100  loss 0.1000  32 examples/s, build-2 31 s; 6 nodes left, about 4 min",
        "  runs   train-target-1 60/100  loss 0.0167  32 examples/s  25 s left; 6 nodes left, about 4 min"]


def test_bars_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, out = Clock(monkeypatch), Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", Terminal())
    logged(tmp_path, 10, 20)
    with Watch(tmp_path) as watch:
        watch.draw([TRAINING, BUILD], 3, 9, "6 nodes left")
        clock.now += 10
        logged(tmp_path, 10, 20, 40)
        watch.draw([TRAINING], 4, 9, "5 nodes left")
        print("a line")
        print("a command " * 20)
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue()).splitlines()
    assert any(re.fullmatch(r" *train-target-1 [━╸╺ ]+ 40/100  loss 0\.0250  32 examples/s  30 s left *", line)
               for line in last), last
    assert any(re.fullmatch(r" *all +[━╸╺ ]+ 4/9 nodes  5 nodes left *", line) for line in last), last
    assert "build-2" not in "".join(last[next(i for i, line in enumerate(last) if "40/100" in line):])  # it has ended
    assert {"a line", "a command " * 20} <= set(last)  # to be pasted: not broken at the terminal's width


def test_the_status_says_how_far_a_training_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = load_study(write_study(tmp_path / "study"), "toy", {"source": "s", "tokenizer": "t"})
    logged(tmp_path, 10, 40)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / f"{TRAINING.name}.log").touch()
    write_json(tmp_path / TRAINING.output / "run.json", record_of(max_steps=100))
    show_status(study, Graph({node.name: node for node in (TRAINING, BUILD)}, []), tmp_path)
    said = capsys.readouterr().out
    assert "  begun     train-target-1: not finished, last step 0 s ago, 40/100\n" in said
    assert said.endswith(f"logs in {tmp_path / 'logs'}\n")
