"""Several machines without SLURM: DeepSpeed's launcher with a hostfile, and torchrun, started on each machine by hand.

The machines are two names for this one; `tests/slurm` holds the same training under SLURM against one machine's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.trainer.small_runs import PGD, metrics_of, weights_of, write_cells, write_recipe
from trainer.distributed.ranks import free_port

ROOT = Path(__file__).parents[2]
SETTINGS = {**PGD, "engine.config": "zero2", "model.dropout": "0", "schedule.max_steps": "4"}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("launchers")
    write_cells(root / "shards")
    (root / "hosts").write_text("node1 slots=1\nnode2 slots=1\n")
    return write_recipe(root / "work", root / "shards")


def launched(recipe: Path, launcher: str) -> Path:
    """The run of `recipe` on two machines of one rank each; its folder."""
    port, hosts, bin_folder = str(free_port()), str(recipe.parents[1] / "hosts"), Path(sys.executable).parent
    env = os.environ | {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    train = ["trainer", "train", str(recipe), f"--name={launcher}", *(f"--{key}={SETTINGS[key]}" for key in SETTINGS)]
    machines = []
    for node in ("0", "1"):
        words = {"deepspeed": ["--hostfile", hosts, "--no_ssh", "--node_rank", node, "--master_addr", "127.0.0.1",
                               "--master_port", port, "--module"],
                 "torchrun": ["--nnodes", "2", "--nproc-per-node", "1", "--node-rank", node, "--master-addr",
                              "127.0.0.1", "--master-port", port, "-m"]}[launcher]
        machines.append(subprocess.Popen([str(bin_folder / launcher), *words, *train], cwd=ROOT, env=env,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    try:
        said = [machine.communicate(timeout=180)[0] for machine in machines]
    finally:
        for machine in machines:
            machine.terminate()  # which a launcher passes on to its ranks
    assert [machine.returncode for machine in machines] == [0, 0], "\n".join(said)
    return recipe.parent / "runs" / launcher


def test_a_hostfile_and_torchrun_train_alike(recipe: Path) -> None:
    one, other = launched(recipe, "deepspeed"), launched(recipe, "torchrun")
    assert '"world_size": 2' in (one / "run.json").read_text()
    assert '"world_size": 2' in (other / "run.json").read_text()
    assert metrics_of(one) == metrics_of(other)
    found, expected = weights_of(one), weights_of(other)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in found)
