"""`slurm.status` from records, runs and a queue that were written for it; `test_jobs.py` asks a real cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data_prep.base import cli
from data_prep.base.errors import InputError
from data_prep.base.files import write_json
from slurm import scheduler, status
from slurm import submission as record
from slurm.scheduler import Job
from tests.run_records import record_of

Queue = dict[str, Job]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    return Path("runs")


def submitted(runs: Path, kind: str, job: str, *, run: str | None = None, runs_of: tuple[str, ...] = (),
              after: tuple[str, ...] = (), lives: tuple[str, ...] = ()) -> Path:
    """A record, with lines of `lives`: "element life event code" (element "" for a single job)."""
    home = runs / run if run else runs
    folder = record.next_folder(home, kind)
    folder.mkdir(parents=True)
    names = list((run,) if run else runs_of)
    record.finish(folder, record.Record(job, kind, run or kind, names, list(after), [kind, run or job],
                                        f"2026-11-21T10:00:{int(job):02}+0000", "abc"))
    lines = [line.split() for line in lives]
    (folder / "lives.tsv").write_text("".join(
        f"2026-11-21T10:00:00+0000\t{job}{'_' + line[0] if line[0] != '-' else ''}\t{line[1]}\t{line[2]}\t"
        f"{line[3] if len(line) > 3 else ''}\tnode1\n" for line in lines))
    return folder


def trained(runs: Path, name: str, update: int, *, done: bool = False, **kept: Any) -> Path:
    """A run of 100 steps, `update` of which are done, the first half of them by an earlier release."""
    folder = runs / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text("batch: {size: 32}\ndata: {select_on: xnli/dev/en}\n")
    write_json(folder / "run.json", record_of(max_steps=100, **kept))
    rows: list[dict[str, Any]] = [
        {"update": update // 2, "dev/accuracy/xnli/dev/de": 0.4, "dev/accuracy/xnli/dev/en": 0.51234},
        {"step": update, "train/loss": 0.7, "speed/examples_per_second": 16.0}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 9')
    if done:
        write_json(folder / "done.json", {})
    return folder


def only(runs: Path, queue: Queue | None = None) -> status.Line:
    (line,) = status.lines(runs, queue or {})
    return line


def test_a_run_under_way(runs: Path) -> None:
    submitted(runs, "robust", "12", run="a", lives=("- 1 started",))
    trained(runs, "a", 40)
    assert only(runs, {"12": Job("RUNNING", "node[1-2]", "None")}) == status.Line(
        "a", "robust", "12", "running", "40/100", "2 min", "node[1-2]", "accuracy xnli/dev/en 51.2 %")


def test_the_states_of_a_training(runs: Path) -> None:
    folder = submitted(runs, "robust", "12", run="a")

    def state(queue: Queue | None = None, *events: str) -> str:
        (folder / "lives.tsv").write_text("".join(f"T\t12\t1\t{event}\tnode1\n" for event in events))
        return only(runs, queue).state

    def ended(*events: str, queue: Queue | None = None) -> tuple[str, str]:
        state(queue, *events)
        return only(runs, queue).state, only(runs, queue).why

    started, failed = "started\t", "failed\t2"
    assert state({"12": Job("PENDING", "", "Resources")}) == "pending (Resources)"
    assert state({"12": Job("PENDING", "", "BeginTime")}, started, "requeued\t75") == "pending (BeginTime)"
    assert state({"12": Job("CANCELLED", "", "None")}) == "cancelled"
    assert state(None) == "not in the queue"
    assert state(None, "line that was cut") == "not in the queue"
    (folder / "lives.tsv").write_text("what\tis\tthis\tto\tbe\tread\n")
    assert only(runs).state == "lost"
    assert ended(started, queue={"12": Job("TIMEOUT", "", "TimeLimit")}) == ("timeout", "ended by SLURM")
    assert ended(started, "terminated\t") == ("cancelled, or out of time", "ended by SLURM")
    assert ended(started) == ("lost", "neither in the queue nor ended by itself")
    assert ended(started, failed, queue={"12": Job("FAILED", "", "NonZeroExitCode")}) == ("failed", "exit code 2")
    (folder / "12.out").write_text("why\n")
    assert ended(started, failed) == ("failed", "exit code 2; see runs/a/slurm/1-robust/12.out")
    trained(runs, "a", 100, done=True)
    assert only(runs) == status.Line("a", "robust", "12", "done", "100/100", metric="accuracy xnli/dev/en 51.2 %")


def test_a_sweep_has_a_line_per_run(runs: Path) -> None:
    submitted(runs, "sweep", "20", runs_of=("s-plain-seed1", "s-pgd-seed1"), lives=("0 1 started", "0 1 done 0"))
    trained(runs, "s-plain-seed1", 100, done=True)
    queue = {"20_0": Job("COMPLETED", "node1", "None"), "20_1": Job("PENDING", "", "Priority")}
    assert [(line.name, line.job, line.state) for line in status.lines(runs, queue)] == [
        ("s-plain-seed1", "20_0", "done"), ("s-pgd-seed1", "20_1", "pending (Priority)")]


def test_an_array_is_one_line(runs: Path) -> None:
    submitted(runs, "evaluate", "30", lives=("0 1 started", "0 1 done 0", "1 1 started"))
    line = only(runs, {"30_0": Job("COMPLETED", "", ""), "30_1": Job("RUNNING", "node2", "None"),
                       "30_2": Job("PENDING", "", "Priority")})
    assert (line.state, line.node) == ("running, 2 of 3", "node2")


@pytest.mark.parametrize("remembered", [True, False])
def test_what_a_failed_link_took_with_it(runs: Path, remembered: bool) -> None:
    submitted(runs, "prepare", "1", lives=("- 1 started", "- 1 done 0"))
    submitted(runs, "intermediate", "2", run="first", after=("1",), lives=("- 1 started", "- 1 failed 3"))
    submitted(runs, "robust", "3", run="second", after=("1", "2"))
    submitted(runs, "report", "4", after=("1", "2", "3"))
    queue = {"3": Job("CANCELLED", "", "DependencyNeverSatisfied"), "4": Job("CANCELLED", "", "None")}
    found = status.lines(runs, queue if remembered else {})
    assert [(line.name, line.state, line.why) for line in found] == [
        ("prepare", "done", ""), ("first", "failed", "exit code 3"),
        ("second", "not run", "job 2 (intermediate) failed"), ("report", "not run", "job 2 (intermediate) failed")]


def test_the_latest_submission_counts(runs: Path) -> None:
    submitted(runs, "robust", "1", run="a", lives=("- 1 started", "- 1 failed 2"))
    submitted(runs, "robust", "2", run="a")
    assert only(runs, {"2": Job("PENDING", "", "Resources")}).job == "2"


def test_runs_that_were_not_submitted_by_us(runs: Path) -> None:
    trained(runs, "by_hand", 40)
    trained(runs, "by_sbatch", 40, slurm_job="77")
    found = {line.name: line for line in status.lines(runs, {"77": Job("RUNNING", "node1", "None")})}
    assert found["by_hand"].state == "not finished, last step 0 s ago"
    assert (found["by_sbatch"].state, found["by_sbatch"].node, found["by_sbatch"].eta) == ("running", "node1", "2 min")


@pytest.mark.parametrize("damage", ["", "[1]", '{"step": "x"}', "\x00\xff", "nan"])
def test_damaged_files_of_runs_are_passed_over(runs: Path, damage: str) -> None:
    folder = trained(runs, "a", 40)
    for name in ("config.yaml", "run.json", "metrics.jsonl"):
        (folder / name).write_text(damage)
    assert only(runs).name == "a"


WRONG = {"job": "1", "kind": "robust", "name": "a", "runs": 5, "after": [], "command": [], "submitted": "",
         "commit": ""}


@pytest.mark.parametrize("damage", ['{"job": "1"}', "[]", "", "{" * 100_000, json.dumps(WRONG)])
def test_a_damaged_record_is_passed_over(runs: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = submitted(runs, "robust", "1", run="a")
    (folder / "job.json").write_text(damage)
    submitted(runs, "robust", "2", run="b")
    assert only(runs).name == "b"
    assert capsys.readouterr().err.startswith("warning: runs/a/slurm/1-robust/job.json is no record of a job")


def test_the_table_without_slurm(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin/none")
    folder = submitted(runs, "robust", "1", run="a", lives=("- 1 started", "- 1 failed 3"))
    (folder / "1.out").write_text("why\n")
    trained(runs, "a", 40)
    assert cli.main(status.status, [], "status") == 0
    said = capsys.readouterr()
    assert said.err.startswith("warning: no squeue on this machine")
    head, _, row, *rest = [line for line in said.out.splitlines() if line.strip()]
    assert head.split() == ["run", "or", "job", "kind", "job", "state", "step", "last", "metric"]
    assert row.split() == ["a", "robust", "1", "failed", "40/100", "accuracy", "xnli/dev/en", "51.2", "%"]
    assert rest == ["a failed: exit code 3; see runs/a/slurm/1-robust/1.out"]


def test_an_empty_and_a_missing_folder(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scheduler, "queue", dict)
    assert cli.main(status.status, [], "status") == 0
    assert capsys.readouterr().out == "no runs and no jobs here\n"
    with pytest.raises(InputError, match="nowhere: no such folder"):
        status.status(runs="nowhere")
