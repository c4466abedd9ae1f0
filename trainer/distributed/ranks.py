"""Rank and world size from the variables of the `deepspeed` launcher, `torchrun` or `srun`; one process without them.

Fills in the variables that torch.distributed reads.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import zlib
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile

from data_prep.base.errors import InputError

LAUNCHER_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT",
                      "SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS")
VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
PORTS = range(20_000, 32_000)  # for ranks to meet on: from 32768 on the kernel gives ports out by itself


@dataclass(frozen=True)
class Ranks:
    """Global rank, number of ranks, and rank on this node of this process."""

    rank: int
    world_size: int
    local_rank: int

    @property
    def is_main(self) -> bool:
        """True if this rank writes files and logs to the terminal."""
        return self.rank == 0


def without_launcher(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without the launcher's variables, for a process that is alone and no rank."""
    return {name: value for name, value in environment.items() if name not in LAUNCHER_VARIABLES}


def is_first_process() -> bool:
    """True if the launcher's variables name rank 0, or none; unlike `find_ranks`, sets no variable."""
    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def find_ranks(environment: MutableMapping[str, str] | None = None) -> Ranks:
    """Read the ranks from `environment` (os.environ) and fill in what torch.distributed needs.

    Order: RANK/WORLD_SIZE (deepspeed launcher, torchrun), then SLURM's variables where the step has several tasks,
    else alone. Raises InputError where the variables are incomplete or contradict each other.
    """
    env = os.environ if environment is None else environment
    if "RANK" not in env and "SLURM_PROCID" in env and env.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        env["RANK"] = env["SLURM_PROCID"]
        env["WORLD_SIZE"] = env["SLURM_STEP_NUM_TASKS"]
        # With --gpus-per-task each task sees one device, its own, and that is number 0 whatever SLURM calls it.
        env["LOCAL_RANK"] = "0" if visible_devices(env) == 1 else env.get("SLURM_LOCALID", "0")
        if "MASTER_ADDR" not in env:
            env["MASTER_ADDR"] = _first_node(env.get("SLURM_STEP_NODELIST", ""))
        # Job steps follow one another: a port of the step's own is not held by the last one's closing sockets.
        step = zlib.crc32(f"{env.get('SLURM_JOB_ID')}.{env.get('SLURM_STEP_ID')}".encode())
        env.setdefault("MASTER_PORT", str(PORTS[step % len(PORTS)]))
    if "RANK" not in env:
        env.update(RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()))
    env.setdefault("LOCAL_RANK", "0")  # DeepSpeed wants it, and not every launcher sets it
    try:
        ranks = Ranks(int(env["RANK"]), int(env["WORLD_SIZE"]), int(env["LOCAL_RANK"]))
    except (KeyError, ValueError) as error:
        raise InputError(f"launcher variables are incomplete ({error}); use deepspeed, torchrun or srun") from None
    if not 0 <= ranks.rank < ranks.world_size:
        raise InputError(f"launcher variables contradict: RANK {ranks.rank} of WORLD_SIZE {ranks.world_size}")
    return ranks


def visible_devices(environment: Mapping[str, str]) -> int | None:
    """Number of devices that `environment` leaves visible to this process; None if it sets no limit.

    Devices are named by number, by UUID (`GPU-...`, on NVIDIA's and AMD's cards) or as a MIG slice (`MIG-...`). As the
    drivers read them: an empty list hides all, the first name that is none (-1, `NoDevFiles`) ends a list, and where
    several variables are set (HIP's numbers count among ROCR's devices) the shortest list counts.
    """
    lists = [environment[name].split(",") for name in VISIBLE if name in environment]
    return min((len(list(takewhile(_names_device, names))) for names in lists), default=None)


def _names_device(name: str) -> bool:
    name = name.strip()
    return name.isdigit() or name.startswith(("GPU-", "MIG-"))


def _first_node(node_list: str) -> str:
    """The first host of a SLURM node list such as `node[01-04]`; SLURM itself knows how to read it."""
    try:
        hosts = subprocess.run(["scontrol", "show", "hostnames", node_list], capture_output=True, text=True,
                               check=True, timeout=30).stdout.split()
        return hosts[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        raise InputError(f"cannot read SLURM's node list {node_list!r} with scontrol; set MASTER_ADDR to the first "
                         "node of the job") from None


def free_port() -> int:
    """A TCP port that is free on the loopback address now, of those that the kernel does not give out by itself.

    One that it gives out is soon another process's: ranks take seconds to start, and then find it in use.
    """
    for port in random.SystemRandom().sample(PORTS, 100):  # not the generator that a run's seed sets
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise InputError(f"no free TCP port found from {PORTS[0]} to {PORTS[-1]}; set MASTER_PORT")
