"""`slurm.submit` and `slurm.status` on a real cluster: a job, a chain on real files, a broken chain."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slurm.submission import PACKAGES
from tests.slurm.cluster import Cluster
from tests.trainer.small_runs import write_cells, write_recipe
from trainer.config.load import read_yaml

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
PREPARATION = ["tokenizer", "--texts", str(DATA / "sick"), "--vocab_size", "2000", "--out", "tokenizer"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, to be worked in as a user would, under a name that is hard on scripts."""
    place = tmp_path / "it's $HOME; #1 (100%j)"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, place / package, ignore=shutil.ignore_patterns("__pycache__", "site.env"))
    return place


def typed(cluster: Cluster, place: Path, line: str) -> subprocess.CompletedProcess[str]:
    """What `python -m <line>` comes to in `place`, on a machine of the cluster."""
    env = cluster.environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DS_ACCELERATOR": "cpu"}
    return subprocess.run([sys.executable, "-m", *shlex.split(line)], cwd=place, env=env, capture_output=True,
                          text=True, check=False, timeout=120)


def jobs_of(said: str) -> list[str]:
    """The ids in what `slurm.submit` prints."""
    return [line.split()[1].rstrip(":") for line in said.splitlines() if line.startswith("job ")]


def states(cluster: Cluster, place: Path) -> dict[str, str]:
    """What `slurm.status` says of each run or job."""
    done = typed(cluster, place, "slurm.status")
    assert done.returncode == 0, done.stderr
    rows = [line.strip() for line in done.stdout.splitlines()[3:] if line.startswith(" ")]
    columns = [[part.strip() for part in row.split("  ") if part.strip()] for row in rows]
    return {row[0]: row[3] for row in columns if len(row) > 3}


def test_a_job_runs_what_was_submitted(cluster: Cluster, project: Path) -> None:
    """Whatever becomes of the code and the recipe while it waits, and whatever the folder is called."""
    write_cells(project / "shards")
    recipe = write_recipe(project, Path("shards"))
    recipe.write_text(recipe.read_text().replace(str(project / "runs"), "runs"))
    line = "slurm.submit robust small.yaml --gpus 1 --cpus 1 --options=--hold --schedule.max_steps 2"
    refused = typed(cluster, project, line.replace("--gpus 1", "--gpus 99"))
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: SLURM refuses: "), refused.stderr
    assert not (project / "runs").exists()

    submitted = typed(cluster, project, line)
    assert submitted.returncode == 0, submitted.stderr
    (job,) = jobs_of(submitted.stdout)
    assert states(cluster, project) == {"small-max_steps_2-seed7": "pending (JobHeldUser)"}
    twice = typed(cluster, project, line)
    assert (twice.returncode, f"job {job} (robust) is in the queue already" in twice.stderr) == (2, True)
    (project / "trainer/train.py").write_text("raise SystemExit(9)\n")
    recipe.write_text("nonsense: 1\n")
    cluster.ask("scontrol", "release", job)
    assert cluster.wait(job, ENDED)["JobState"] == "COMPLETED", cluster.said(job)
    assert "2/2" in (project / f"runs/small-max_steps_2-seed7/slurm/1-robust/{job}.out").read_text()
    assert read_yaml(project / "runs/small-max_steps_2-seed7/config.yaml")["schedule"]["max_steps"] == 2
    assert states(cluster, project) == {"small-max_steps_2-seed7": "done"}


@pytest.mark.real
@pytest.mark.skipif(not (DATA / "sick").is_dir(), reason=f"real benchmark files are not at {DATA}")
def test_a_chain_from_files_to_a_report(cluster: Cluster, project: Path) -> None:
    place = project
    assert typed(cluster, place, shlex.join(["data_prep", *PREPARATION])).returncode == 0
    build = f"--tokenizer tokenizer --out shards --cpus 1 --source {DATA}"
    settings = ("model: {random: tiny, dropout: 0.0}\n", "init_from: runs/first-seed0\nrobust: {method: pgd}\n")
    for name, own in zip(("first", "second"), settings, strict=True):
        (place / f"{name}.yaml").write_text(
            f"{own}data: {{shards: shards, train: [sick/train/en], dev: [sick/dev/en]}}\n"
            "schedule: {max_steps: 6}\nevaluation: {on_collapse: warn, every_steps: 6}\n")  # too short to leave chance
    (place / "chain.txt").write_text(
        f"prepare build sick {build}/sick\n"
        f"prepare build xnli {build}/xnli --splits dev --languages en,sw\n"
        "intermediate first.yaml --gpus 1 --cpus 1\n"
        "robust second.yaml --nodes 2 --gpus 1 --cpus 1 --engine.config zero2\n"
        "evaluate runs/second-seed0 --tasks xnli --splits dev --languages en,sw --nodes 2 --gpus 1 --cpus 1\n"
        "report runs/second-seed0 --cpus 1\n")
    submitted = typed(cluster, place, "slurm.submit chain chain.txt")
    assert submitted.returncode == 0, submitted.stderr
    jobs = jobs_of(submitted.stdout)
    assert len(jobs) == 6
    assert states(cluster, place)["second-seed0"] == "pending (Dependency)"
    cluster.wait(jobs[-1], ENDED)
    assert set(states(cluster, place).values()) == {"done"}, typed(cluster, place, "slurm.status").stdout
    rows = [json.loads(line) for line in (place / "runs/second-seed0/eval/results.jsonl").read_text().splitlines()]
    assert {(row["language"], row["n"]) for row in rows if row["selection"] == "best"} == {("en", 2490), ("sw", 2490)}
    record = json.loads((place / "runs/second-seed0/run.json").read_text())
    assert (record["world_size"], record["zero_stage"], record["slurm_job"]) == (2, 2, jobs[3])
    assert "sw" in (place / "report/report.md").read_text()


def test_a_failing_link_cancels_what_follows_and_says_which(cluster: Cluster, project: Path) -> None:
    (project / "chain.txt").write_text(
        "prepare tasks --cpus 1\n"
        "prepare build sick --source nowhere --tokenizer nowhere --out shards --cpus 1\n"
        "intermediate mnli_intermediate --nodes 2 --gpus 1\n"
        "evaluate runs/mnli_intermediate-seed0 --tasks sick\n")
    jobs = jobs_of(typed(cluster, project, "slurm.submit chain chain.txt").stdout)
    assert len(jobs) == 4
    for job in jobs[2:]:
        assert cluster.wait(job, ENDED)["JobState"] == "CANCELLED"
    said = (project / f"runs/slurm/2-prepare/{jobs[1]}.out").read_text()
    assert "\nerror: " in said
    assert (f"so these do not run: {jobs[2]} mnli_intermediate-seed0, {jobs[3]} evaluate-mnli_intermediate-seed0"
            in said)
    assert states(cluster, project) == {"prepare-tasks": "done", "prepare-build-sick": "failed",
                                        "mnli_intermediate-seed0": "not run",
                                        "evaluate-mnli_intermediate-seed0": "not run"}
    told = typed(cluster, project, "slurm.status").stdout
    assert f"prepare-build-sick failed: exit code 2; see runs/slurm/2-prepare/{jobs[1]}.out\n" in told
    assert f"evaluate-mnli_intermediate-seed0 not run: job {jobs[1]} (prepare) failed\n" in told
