"""Ranks from the environment: alone, deepspeed or torchrun, srun, and what is incomplete."""

from __future__ import annotations

import pytest

from data_prep.base.errors import InputError
from trainer.__main__ import take_local_rank
from trainer.distributed.ranks import Ranks, find_ranks

SRUN = {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "1"}
WHERE = {"MASTER_ADDR": "node1", "MASTER_PORT": "29500"}


def test_alone() -> None:
    env: dict[str, str] = {}
    assert find_ranks(env) == Ranks(0, 1, 0)
    assert env["WORLD_SIZE"] == "1"
    assert 20_000 <= int(env["MASTER_PORT"]) < 32_000  # below the ports that the kernel gives out by itself
    assert find_ranks(env) == Ranks(0, 1, 0)  # a second command in one process finds itself again


def test_under_the_deepspeed_launcher_or_torchrun() -> None:
    env = {"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "1", **WHERE}
    ranks = find_ranks(env)
    assert ranks == Ranks(2, 4, 1)
    assert not ranks.is_main
    assert env["MASTER_ADDR"] == "node1"


def test_a_launcher_inside_a_slurm_step_wins() -> None:
    assert find_ranks({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", **WHERE, **SRUN}) == Ranks(1, 2, 1)


def test_under_srun() -> None:
    env = {**SRUN, **WHERE}
    assert find_ranks(env) == Ranks(3, 4, 1)
    assert (env["RANK"], env["WORLD_SIZE"], env["LOCAL_RANK"]) == ("3", "4", "1")


UUID = "GPU-0f3c2a51-77de-4b0c-9a35-2b1f6c0d9e84"
SLICE = "MIG-5d1c7b42-1e0f-5a6b-8c9d-3e2f1a0b4c5d"


@pytest.mark.parametrize(("visible", "local_rank"), [
    ({"CUDA_VISIBLE_DEVICES": "2"}, 0),
    ({"CUDA_VISIBLE_DEVICES": " 2 "}, 0),
    ({"CUDA_VISIBLE_DEVICES": UUID}, 0),
    ({"CUDA_VISIBLE_DEVICES": "GPU-0f3c2a51"}, 0),  # CUDA takes the beginning of a UUID
    ({"CUDA_VISIBLE_DEVICES": SLICE}, 0),
    ({"CUDA_VISIBLE_DEVICES": "MIG-GPU-0f3c2a51-77de-4b0c-9a35-2b1f6c0d9e84/1/0"}, 0),  # drivers before 470
    ({"CUDA_VISIBLE_DEVICES": "3,-1,2"}, 0),  # CUDA reads up to the first that is no device
    ({"ROCR_VISIBLE_DEVICES": "1"}, 0),
    ({"HIP_VISIBLE_DEVICES": "1"}, 0),
    ({"ROCR_VISIBLE_DEVICES": "GPU-a51f03b9c27d4e68"}, 0),
    ({"ROCR_VISIBLE_DEVICES": "2,3", "HIP_VISIBLE_DEVICES": "1"}, 0),
    ({"CUDA_VISIBLE_DEVICES": "2", "ROCR_VISIBLE_DEVICES": "2"}, 0),
    ({"CUDA_VISIBLE_DEVICES": "0,1"}, 1),
    ({"CUDA_VISIBLE_DEVICES": "0, 1 ,"}, 1),
    ({"CUDA_VISIBLE_DEVICES": f"{UUID},GPU-77de"}, 1),
    ({"ROCR_VISIBLE_DEVICES": "0,1", "HIP_VISIBLE_DEVICES": "0,1"}, 1),
    ({"CUDA_VISIBLE_DEVICES": ""}, 1),  # no device at all: a rank on the CPU
    ({"CUDA_VISIBLE_DEVICES": "-1"}, 1),
    ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, 1),
    ({}, 1),
])
def test_under_srun_a_task_that_sees_one_device_takes_number_0(visible: dict[str, str], local_rank: int) -> None:
    assert find_ranks({**SRUN, **WHERE, **visible}) == Ranks(3, 4, local_rank)


def test_a_batch_script_or_a_step_of_one_task_is_alone() -> None:
    assert find_ranks({"SLURM_PROCID": "0"}) == Ranks(0, 1, 0)
    assert find_ranks({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}) == Ranks(0, 1, 0)


@pytest.mark.parametrize(("env", "message"), [
    ({**SRUN, "SLURM_STEP_NODELIST": "no such list"}, "set MASTER_ADDR"),
    ({"RANK": "0"}, "incomplete"),
    ({"RANK": "zero", "WORLD_SIZE": "1"}, "incomplete"),
    ({"RANK": "2", "WORLD_SIZE": "2", **WHERE}, "contradict: RANK 2 of WORLD_SIZE 2"),
    ({**SRUN, "SLURM_STEP_NUM_TASKS": "many", **WHERE}, "incomplete"),
])
def test_what_is_incomplete_is_refused(env: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin/none")  # no scontrol, wherever this runs
    with pytest.raises(InputError, match=message):
        find_ranks(dict(env))


def test_the_launchers_own_argument_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert take_local_rank(["train", "--local_rank=1", "r.yaml"]) == ["train", "r.yaml"]
    assert find_ranks({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", **WHERE}).local_rank == 1
