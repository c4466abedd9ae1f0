"""A study on a real cluster: the same results as on this machine, and new seeds for trainings that collapse."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slurm.cluster import ROOT, Cluster
from tests.trainer.studies.small_study import STUDY, results_of, write_source, write_study
from trainer.studies.states import endings, read_graph


def trainer(cluster: Cluster, place: Path, *words: str) -> str:
    """Output of `python -m trainer` with `words`; AssertionError where it fails."""
    env = cluster.environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DS_ACCELERATOR": "cpu",
                                 "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "trainer", *words], cwd=place, env=env, capture_output=True, text=True,
                          check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_same_results_as_here(cluster: Cluster, tmp_path: Path) -> None:
    study, flags = str(write_study(tmp_path / "study")), write_source(tmp_path)
    words = (study, "--size", "toy", *flags)
    said = trainer(cluster, tmp_path, "study", "submit", *words, "--out", "there", "--gpus", "0", "--cpus", "1")
    jobs = [line.split()[1].rstrip(":") for line in said.splitlines() if line.startswith("job ")]
    assert len(jobs) == 7
    trainer(cluster, tmp_path, "study", "run", *words, "--out", "here")  # meanwhile
    assert cluster.wait(jobs[-1])["JobState"] == "COMPLETED", "\n".join(map(cluster.said, jobs))
    graph = read_graph(tmp_path / "there")
    assert {ending.state for ending in endings(tmp_path / "there", graph.nodes.values()).values()} == {"done"}
    assert "6 done\n" in trainer(cluster, tmp_path, "study", "status", "there")
    there, here = results_of(tmp_path / "there"), results_of(tmp_path / "here")
    assert len(there) == 2, there.keys()
    assert there == here
    assert (tmp_path / "there/report/results.csv").read_bytes() == (tmp_path / "here/report/results.csv").read_bytes()
    again = trainer(cluster, tmp_path, "study", "submit", *words, "--out", "there", "--gpus", "0", "--cpus", "1")
    assert "0 nodes submitted, 0 in the queue before, 6 done\n" in again
    assert set(trainer_status(cluster, tmp_path)) == {"done"}


def trainer_status(cluster: Cluster, place: Path) -> list[str]:
    """States that `slurm.status` shows of the study's jobs."""
    done = subprocess.run([sys.executable, "-m", "slurm.status", "--runs", str(place / "there/runs")], cwd=ROOT,
                          env=cluster.environment, capture_output=True, text=True, check=True)
    rows = [[part.strip() for part in line.split("  ") if part.strip()] for line in done.stdout.splitlines()[3:]]
    return [row[3] for row in rows if len(row) > 3]


@pytest.mark.full  # a collapse takes 200 steps
def test_a_collapsed_training_submits_its_next_seed(cluster: Cluster, tmp_path: Path) -> None:
    """... which collapses too; the report waits for both, and says what is missing."""
    wild = {"optimizer.lr": 10.0, "schedule.max_steps": 201, "evaluation.every_steps": 200,
            "evaluation.on_collapse": "stop"}
    study = str(write_study(tmp_path / "study", retries=1, factors={
        "method": {"plain": STUDY["factors"]["method"]["plain"], "wild": {"set": {"target": wild}}}}))
    words = (study, "--size", "toy", *write_source(tmp_path), "--out", "out", "--gpus", "0", "--cpus", "1")
    said = trainer(cluster, tmp_path, "study", "submit", *words)
    first = [line.split()[1].rstrip(":") for line in said.splitlines() if line.startswith("job ")][-1]
    cluster.wait(first)
    jobs = cluster.ask("squeue", "-h", "--states=all", "-o", "%i %j").splitlines()
    (last,) = (job for job, name in map(str.split, jobs) if name == "report" and job != first)
    cluster.wait(last)
    graph = read_graph(tmp_path / "out")
    ended = endings(tmp_path / "out", graph.nodes.values())
    found = {name.rpartition("-")[0]: ending.state for name, ending in ended.items()}
    assert (found["target-wild-seed0"], found["target-wild-seed1000"]) == ("collapsed", "collapsed")
    assert found["evaluate1-target-plain-seed0"] == "done"
    (log,) = (tmp_path / "out/logs").glob("target-wild-seed0-*.log")
    assert "collapsed; a new seed: job " in log.read_text()
    (log,) = (tmp_path / "out/logs").glob("target-wild-seed1000-*.log")
    assert "collapsed; a new seed: no seed is left to try" in log.read_text()
    report = (tmp_path / "out/report/report.md").read_text()
    assert "target-wild-seed1000" in report
