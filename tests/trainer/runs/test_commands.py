"""`trainer runs`: states from the files of runs, differences of two, and the next command."""

from __future__ import annotations

import json
import os
import shlex
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_prep.base import cli
from data_prep.base.errors import InputError
from data_prep.base.files import write_json
from data_prep.base.lock import held, holder
from tests.run_records import record_of
from tests.trainer.report.synthetic_runs import make_runs
from trainer.commands import COMMANDS
from trainer.config import load_recipe
from trainer.results.scores import RESULTS_FILE, merge_rows, read_rows
from trainer.runs import folder as run_dir
from trainer.runs.commands import compare, list_runs
from trainer.runs.next_command import evaluate_command, report_command
from trainer.runs.record import RunRecord, read_record
from trainer.runs.standing import standing

LANGUAGES = ("en", "de", "sw")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """runs/, the folder that commands read by default."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    return Path("runs")


def begun(runs: Path, name: str, step: int = 0, overrides: dict[str, str] | None = None, **kept: Any) -> Path:
    """A run of 100 steps that has logged `step` of them."""
    run = run_dir.create(load_recipe("xnli_pgd", {"name": name, "output": str(runs), **(overrides or {})}))
    fields = {"task": "xnli", "max_steps": 100, "label": "pgd", "dev_cells": {"xnli/dev/en": {}}, **kept}
    write_json(run / "run.json", record_of(**fields))
    rows = [{"step": step, "dev/accuracy/xnli/dev/en": 0.51234}, {"step": step, "speed/examples_per_second": 32.0}]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows if step))
    return run


def ended(run: Path) -> Path:
    write_json(run / "done.json", {"step": 90})
    return run


def test_states(runs: Path) -> None:
    run = begun(runs, "a", 40)
    assert standing(run).state == "not finished, last step 0 s ago"
    assert standing(run).dev == "accuracy xnli/dev/en 51.2 %"
    with held(run, "train"):
        assert (standing(run).state, standing(run).step, standing(run).eta) == ("running", "40/100", "60 s")
    lock = run / ".lock"
    lock.write_text("train, process 1 on elsewhere, since 2026-11-27 10:00:00 +0000\n")
    assert standing(run).state == "running on elsewhere, last step 0 s ago"
    lock.write_text(f"train, process {2**22 + 1} on {socket.gethostname()}, since then\n")  # killed
    assert standing(run).state == "not finished, last step 0 s ago"
    lock.unlink()
    assert (standing(ended(run)).state, standing(run).step) == ("done", "90/100")
    assert standing(ended(begun(runs, "c", 90, at_chance=True))).state == "done, at chance"
    assert standing(begun(runs, "d", 60, status="collapsed")).state == "collapsed"
    chosen = {"step": 30, "cell": "xnli/dev/en", "metric": "accuracy", "value": 0.7}
    assert standing(begun(runs, "e", 60, selection=chosen)).dev == "accuracy xnli/dev/en 70.0 %"


@pytest.mark.parametrize("text", ["", "train", "train, process x on y, since z", "train, process 1", "\x00\xff"])
def test_a_lock_without_an_owner_holds_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / ".lock").write_text(text)
    assert holder(tmp_path) is None
    (tmp_path / ".lock").write_text(f"a, b, process {os.getpid()} on {socket.gethostname()}, since then")
    found = holder(tmp_path)
    assert found is not None
    assert (found.what, found.elsewhere) == ("a, b", False)


def test_the_list_and_what_comes_next(runs: Path, capsys: pytest.CaptureFixture[str],
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin/none")
    assert cli.main(COMMANDS, ["runs"], "trainer") == 0
    assert capsys.readouterr().out == "no runs below runs; train one: python -m trainer train RECIPE\n"
    make_runs(runs, seeds=(1,), labels=("plain",), languages=LANGUAGES)
    begun(runs, "plain-s1")
    begun(runs, "new", 40)
    ended(begun(runs, "first", 90, task="mnli", started="2026-11-27T10:00:00+0000"))
    ended(begun(runs, "over", 90, started="2026-11-27T09:00:00+0000"))
    assert cli.main(COMMANDS, ["runs", "list"], "trainer") == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: " ".join(line.split()) for line in out.splitlines() if line.startswith(" runs")}
    assert list(rows) == ["runs/first", "runs/new", "runs/over", "runs/plain-s1"]
    assert rows["runs/new"] == ("runs/new pgd 0 not finished, last step 0 s ago 40/100 accuracy xnli/dev/en 51.2 %")
    mean = sum(row.value or 0 for row in read_rows(runs / "plain-s1/eval" / RESULTS_FILE)
               if row.setting == "standard" and row.selection == "best") / 3
    assert f"xnli/test accuracy {100 * mean:.1f} % (3)" in rows["runs/plain-s1"]
    assert out.endswith("next: python -m trainer evaluate runs/over --tasks xnli --splits dev\n")
    assert "slurm" not in out.lower()
    (runs / "over/done.json").unlink()
    list_runs("runs")  # of the tasks that are evaluated, every run that is done
    assert capsys.readouterr().out.endswith("next: python -m trainer report runs/plain-s1\n")
    (runs / "plain-s1/eval" / RESULTS_FILE).unlink()
    ended(runs / "over")
    list_runs("runs")  # the latest that is done
    assert "next: python -m trainer evaluate runs/first " in capsys.readouterr().out
    with pytest.raises(InputError, match="nowhere: no such folder"):
        list_runs("nowhere")


def test_two_runs_differ_in_what_was_changed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_runs(runs, seeds=(1,), labels=("plain", "pgd"), languages=LANGUAGES)
    begun(runs, "pgd-s1", 40, rows_sha256={"xnli/train/en": "a" * 64}, versions={"torch": "2"})
    begun(runs, "plain-s1", 40, {"optimizer.lr": "1e-4", "method": "plain"},
          rows_sha256={"xnli/train/en": "b" * 64}, versions={"torch": "2"})
    assert compare("pgd-s1", "runs/plain-s1") == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert ["optimizer.lr", "1e-05", "0.0001"] in rows
    assert ["robust.method", "pgd", "plain"] in rows
    assert ["rows", "of", "xnli/train/en", "aaaaaa", "bbbbbb"] in rows
    assert not [row for row in rows if row[:1] in (["name"], ["output"], ["torch"], ["seed"], ["batch.size"])]
    values = [{row.language: row.value or 0 for row in read_rows(runs / name / "eval" / RESULTS_FILE)
               if row.setting == "standard" and row.selection == "best"} for name in ("pgd-s1", "plain-s1")]
    for name, (a, b) in {**{one: (values[0][one], values[1][one]) for one in LANGUAGES},
                         "mean of 3": (sum(values[0].values()) / 3, sum(values[1].values()) / 3)}.items():
        assert [*name.split(), f"{100 * a:.1f}", f"{100 * b:.1f}", f"{100 * (b - a):+.1f}".replace("-", "−")] in rows
    assert any(row[:4] == ["pairs:", "mean", "of", "9"] for row in rows)
    assert "next: python -m trainer report runs/pgd-s1 runs/plain-s1   (" in out


def test_scores_on_other_rows_are_not_compared(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for run in make_runs(runs, seeds=(1,), labels=("plain", "pgd"), languages=LANGUAGES, generalized=False):
        begun(runs, run.name, 40)
    path = runs / "pgd-s1/eval" / RESULTS_FILE
    merge_rows(path, [row.model_copy(update={"cell_sha256": "f" * 64}) for row in read_rows(path)
                      if row.language == "sw"])
    compare("plain-s1", "pgd-s1")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    (swahili,) = [row for row in rows if row[:1] == ["sw"]]
    assert swahili[2:] == ["other", "rows"]
    assert any(row[:3] == ["mean", "of", "2"] for row in rows)
    assert ["recipe:", "no", "difference"] in rows


def test_the_list_in_a_narrow_terminal(runs: Path, capsys: pytest.CaptureFixture[str],
                                       on_terminal: Callable[[int], None]) -> None:
    on_terminal(60)
    begun(runs, "plain-s1", 40)
    assert list_runs() == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "runs/plain-s1"
    assert all(line.startswith("    ") and len(line) <= 60 for line in lines)
    assert " ".join(" ".join(lines).split()).endswith("; step 40/100; on dev accuracy xnli/dev/en 51.2 %")


def test_what_is_no_run_is_named(runs: Path) -> None:
    begun(runs, "pgd-s1")
    with pytest.raises(InputError, match="'pgd-s1'"):
        compare("pgd-s2", "pgd-s1")


def test_the_next_command(runs: Path) -> None:
    record = read_record(begun(runs, "a"))
    assert record is not None
    assert shlex.split(evaluate_command(Path("my runs/a"), record, Path("shards")))[3:] == [
        "evaluate", "my runs/a", "--tasks", "xnli", "--splits", "dev"]
    for cell in ("xnli/test/sw", "mnli/test/en"):
        (Path("shards") / cell).mkdir(parents=True)
        (Path("shards") / cell / "manifest.json").touch()
    assert evaluate_command(Path("r"), record, Path("shards")) == "python -m trainer evaluate r --tasks xnli"
    several = RunRecord.model_validate(record_of(dev_cells={"snli/dev/en": {}, "xnli/dev/en": {}}))
    assert evaluate_command(Path("r"), several, Path("shards")) == "python -m trainer evaluate r --tasks xnli"
    without_dev = RunRecord.model_validate(record_of(train_cells=["shards/mnli+synonyms/train/en"]))
    assert evaluate_command(Path("r"), without_dev, Path("shards")) == "python -m trainer evaluate r --tasks mnli"
    one, two = make_runs(runs, seeds=(1,), labels=("plain", "pgd"), languages=("en",))
    assert report_command(one) == "python -m trainer report runs"
    (two / "eval" / RESULTS_FILE).unlink()
    assert report_command(one) == "python -m trainer report runs/plain-s1"
