"""The life of a job on a real SLURM cluster: trainings on two nodes, one rank each, through `slurm/robust.sbatch`.

They are all submitted at the start. Most ask for more than half of a node's processors, so that SLURM runs one of them
at a time; those that mostly wait run beside them.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from tests import oracle
from tests.slurm.cluster import CPUS, GPUS, ROOT, Cluster, start, stop
from tests.trainer.checkpoint.test_resume import last_state
from tests.trainer.small_runs import PGD, metrics_of, weights_of, write_cells, write_recipe
from trainer.checkpoint import layout
from trainer.config import load_recipe
from trainer.distributed.ranks import free_port

UPDATES = 20
SETTINGS = {**PGD, "model.dropout": "0", "engine.config": "zero2", "schedule.max_steps": str(UPDATES),
            "evaluation.every_steps": "10", "checkpoint.keep_when_done": "true"}
TWO_NODES = ("--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=1")
BESIDE, ALONE = "--cpus-per-task=1", f"--cpus-per-task={CPUS // 2 + 1}"
TEMPLATES = sorted(path.name for path in (ROOT / "slurm").glob("*.sbatch"))
# How the ranks end, life by life -> the job's last state, how often it went back into the queue, and its exit code.
FATES = {
    "0,0": ("COMPLETED", 0, 0),
    "75,75 0,0": ("COMPLETED", 1, 0),
    "75,killed 0,0": ("COMPLETED", 1, 0),  # one takes so long to leave that SLURM kills it
    "76,killed 0,0": ("COMPLETED", 1, 0),
    "76,killed": ("FAILED", 3, 76),
    "76,2": ("FAILED", 0, 2),
    "76,1": ("FAILED", 0, 1),
    "3,3": ("FAILED", 0, 3),
    "waits,2": ("FAILED", 0, 2),
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lives")
    write_cells(root / "shards")
    return write_recipe(root / "work", root / "shards")


def words(recipe: Path, name: str) -> list[str]:
    return [str(recipe), f"--name={name}", *(f"--{key}={value}" for key, value in SETTINGS.items())]


def submit(cluster: Cluster, recipe: Path, name: str, *options: str, worker: str = "paced", **variables: str) -> str:
    """`slurm/robust.sbatch` on two nodes; the job's number."""
    python = f"{sys.executable} {ROOT / 'tests/slurm' / worker}.py"
    return cluster.submit(*TWO_NODES, f"--output={recipe.parent}/%j.out", *options, "slurm/robust.sbatch",
                          *words(recipe, name), PYTHON=python, OMP_NUM_THREADS="1", **variables)


def end_as(cluster: Cluster, recipe: Path, ends: str, lives: int = 9) -> str:
    """A job whose ranks do nothing but end as `ends` says, after `lives` lives at most."""
    return submit(cluster, recipe, "none", BESIDE, worker="ends", ENDS=ends, MEETING=str(recipe.parent),
                  MAX_LIVES=str(lives))


def submit_launcher(cluster: Cluster, recipe: Path, name: str) -> str:
    """The same training under the `deepspeed` launcher, which knows nothing of the job that it runs in."""
    command = [str(Path(sys.executable).with_name("deepspeed")), "--num_accelerators", "2", "--master_port",
               str(free_port()), "--module", "trainer", "train", *words(recipe, name)]
    return cluster.submit("--nodes=1", ALONE, f"--output={recipe.parent}/%j.out", f"--wrap={shlex.join(command)}",
                          DS_ACCELERATOR="cpu", OMP_NUM_THREADS="1",
                          PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.fixture(scope="module")
def jobs(cluster: Cluster, recipe: Path) -> dict[str, str]:
    found = {
        # The signal comes on the first tick of SLURM's clock of 30 s that finds the job more than 15 s old.
        "timed": submit(cluster, recipe, "timed", BESIDE, "--time=1", "--signal=USR1@15", PACE="2 4"),
        # As from a shell that another launcher has set up: its variables must not reach the ranks.
        "whole": submit(cluster, recipe, "whole", ALONE, RANK="0", WORLD_SIZE="1", LOCAL_RANK="0"),
        "cancelled": submit(cluster, recipe, "disturbed", ALONE, PACE="1 1", ACT="scancel"),
    }
    after = f"--dependency=afterany:{found['cancelled']}"
    return found | {
        "requeued": submit(cluster, recipe, "disturbed", ALONE, after, PACE="1 1", ACT="scontrol requeue"),
        "launcher": submit_launcher(cluster, recipe, "launcher"),
        "wrong": submit(cluster, recipe, "wrong", BESIDE, after, WRONG_RANK="1"),
    }


@pytest.fixture(scope="module")
def fates(cluster: Cluster, recipe: Path) -> dict[str, str]:
    return {ends: end_as(cluster, recipe, ends) for ends in FATES}


def undisturbed(cluster: Cluster, jobs: dict[str, str], recipe: Path) -> Path:
    """The run that nobody disturbs, once it is done."""
    assert cluster.wait(jobs["whole"])["JobState"] == "COMPLETED", cluster.said(jobs["whole"])
    return recipe.parent / "runs/whole"


def assert_same_numbers(found: Path, expected: Path) -> None:
    """Bit for bit: every line of the log, the best weights, and all that the last checkpoint holds."""
    assert metrics_of(found) == metrics_of(expected)
    for one, other in ((weights_of(found), weights_of(expected)),
                       (last_state(found, UPDATES), last_state(expected, UPDATES))):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("template", TEMPLATES)
def test_sbatch_takes_the_templates(cluster: Cluster, template: str) -> None:
    def test_only(gpus: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sbatch", "--test-only", f"--gpus-per-node={gpus}", f"slurm/{template}", "recipe"],
                              cwd=ROOT, env=cluster.environment, capture_output=True, text=True, check=False)

    assert test_only(2).returncode == test_only(GPUS).returncode == 0, test_only(2).stderr
    refused = test_only(GPUS + 1)
    assert refused.returncode == 1
    assert "Requested node configuration is not available" in refused.stderr


@pytest.mark.parametrize("node", [1, pytest.param(0, marks=pytest.mark.full)], ids=["second", "first"])
def test_a_dead_node(cluster: Cluster, own_cluster: Cluster, jobs: dict[str, str], recipe: Path, node: int) -> None:
    """The first node of a job runs its script as well."""
    name, dead = f"dead{node}", own_cluster.nodes[node]
    job, folder = submit(own_cluster, recipe, name, PACE="1 1"), recipe.parent / "runs" / name
    own_cluster.until(lambda: layout.complete_checkpoints(folder), lambda: own_cluster.said(job))
    own_cluster.kill_node(dead)
    own_cluster.until(lambda: own_cluster.is_down(dead), lambda: own_cluster.ask("sinfo"))
    own_cluster.start_node(dead)
    end, said = own_cluster.wait(job), own_cluster.said(job)
    assert end["JobState"] == "COMPLETED", said
    # SLURM may deliver to the node that is back what it had to say to the life before, which costs one more life.
    assert said.count("resumed after step") == int(end["Restarts"]) >= 1, said
    assert_same_numbers(folder, undisturbed(cluster, jobs, recipe))


def test_the_same_numbers_under_the_deepspeed_launcher_and_in_the_plain_loop(
        cluster: Cluster, jobs: dict[str, str], recipe: Path) -> None:
    whole = undisturbed(cluster, jobs, recipe)
    assert "2 rank(s), ZeRO 2" in cluster.said(jobs["whole"])
    found = [line["train/loss"] for line in metrics_of(whole) if "train/loss" in line]
    _, losses = oracle.train(load_recipe(str(recipe), SETTINGS))
    assert found == pytest.approx(losses, rel=1e-5)
    assert cluster.wait(jobs["launcher"])["JobState"] == "COMPLETED", cluster.said(jobs["launcher"])
    assert_same_numbers(recipe.parent / "runs/launcher", whole)


def test_a_rank_that_fails_ends_the_job(cluster: Cluster, jobs: dict[str, str]) -> None:
    job = jobs["wrong"]
    end, said = cluster.wait(job), cluster.said(job)
    assert (end["JobState"], end["Restarts"]) == ("FAILED", "0"), said
    assert "\n1: error: " in said
    assert "batch.size: Input should be a valid integer" in said
    assert not cluster.left_of(job)


@pytest.mark.parametrize("ends", FATES)
def test_what_becomes_of_a_job(cluster: Cluster, fates: dict[str, str], ends: str) -> None:
    job = fates[ends]
    end = cluster.wait(job)
    assert (end["JobState"], int(end["Restarts"]), int(end["ExitCode"].split(":")[0])) == FATES[ends], cluster.said(job)


def test_no_more_lives(cluster: Cluster, recipe: Path) -> None:
    job = end_as(cluster, recipe, "asked,asked", lives=1)
    cluster.until(lambda: cluster.said(job).count("waiting") == 2, lambda: cluster.said(job))
    cluster.ask("scancel", "--signal=USR1", job)
    end = cluster.wait(job)
    assert (end["JobState"], end["Restarts"], end["ExitCode"]) == ("FAILED", "0", "75:0"), cluster.said(job)
    assert "no more lives: 1 allowed" in cluster.said(job)


def test_scancel_and_scontrol_requeue(cluster: Cluster, jobs: dict[str, str], recipe: Path) -> None:
    """A run whose first job was cancelled, and whose second was put back into the queue."""
    job = jobs["cancelled"]
    end, said = cluster.wait(job), cluster.said(job)
    assert (end["JobState"], end["Restarts"]) == ("CANCELLED", "0"), said
    (saved,) = re.findall(r"stopped by SIGTERM: saved after step (\d+) of", said)
    assert int(saved) < UPDATES
    assert not cluster.left_of(job)
    job = jobs["requeued"]
    end, said = cluster.wait(job), cluster.said(job)
    assert (end["JobState"], end["Restarts"]) == ("COMPLETED", "1"), said
    first, second = (int(update) for update in re.findall(r"resumed after step (\d+)", said))
    assert int(saved) == first < second
    assert_same_numbers(recipe.parent / "runs/disturbed", undisturbed(cluster, jobs, recipe))


def test_a_limit_shorter_than_the_training(cluster: Cluster, jobs: dict[str, str], recipe: Path) -> None:
    job = jobs["timed"]
    end, said = cluster.wait(job), cluster.said(job)
    assert end["JobState"] == "COMPLETED", said
    lives = int(end["Restarts"]) + 1
    assert lives >= 3
    saved, resumed = (re.findall(f"{what} after step (\\d+)", said)
                      for what in ("stopped by SIGUSR1: saved", "resumed"))
    assert saved == resumed
    assert len(saved) == lives - 1
    assert_same_numbers(recipe.parent / "runs/timed", undisturbed(cluster, jobs, recipe))
    print(f"{lives} lives")


def test_a_stopped_cluster_leaves_nothing(cluster: Cluster) -> None:
    other = start()
    try:
        stubborn = "trap '' TERM; sleep 600"
        job = other.submit("--nodes=2", "--output=/dev/null", "--wrap", f'trap "" TERM; srun bash -c "{stubborn}"')
        other.until(lambda: len(other.left_of(job)) > 4, lambda: str(other.job(job)))
        running = [process for node in other.nodes for process in other.processes(node)]
    finally:
        stop(other)
    assert len(running) > 8
    assert not [process for process in running if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert not other.folder.exists()
    assert cluster.ask("sinfo", "--noheader", "--format=%D") == "2"
