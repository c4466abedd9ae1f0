"""A run under the `deepspeed` launcher, two ranks, killed at random moments again and again: nothing is ever lost.

    python -m pytest tests/chaos/test_kills.py -m full -rP      a hundred kills, with a table
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import torch

from tests.chaos.ranks import ROOT, WORKER
from tests.trainer.checkpoint.test_resume import last_state
from tests.trainer.small_runs import PGD, metrics_of, weights_of
from trainer.checkpoint import layout
from trainer.distributed.preemption import EXIT_LOST_RANK, EXIT_REQUEUE
from trainer.distributed.ranks import free_port

UPDATES = 40
SIGNALS = {"KILL one rank": signal.SIGKILL, "KILL all": signal.SIGKILL, "TERM": signal.SIGTERM, "USR1": signal.SIGUSR1}
KINDS = {
    "zero2": {**PGD, "engine.config": "zero2", "model.dropout": "0.1"},
    "zero0": {"robust.method": "smart", "robust.bregman_weight": "1.0", "model.dropout": "0.1"},
}


def launch(recipe: Path, name: str, kind: str, log: Path) -> subprocess.Popen[bytes]:
    """The run under the `deepspeed` launcher; every file of a checkpoint takes a while, so that kills hit saves."""
    # As a module: packages installed with `pip --target` have no script beside Python.
    command = [sys.executable, "-m", "deepspeed.launcher.runner", "--num_accelerators", "2", "--master_port",
               str(free_port()), WORKER, "train", str(recipe), f"--name={name}", f"--schedule.max_steps={UPDATES}",
               "--checkpoint.every_steps=4", "--checkpoint.keep_when_done=true", "--evaluation.every_steps=8",
               *(f"--{k}={v}" for k, v in KINDS[kind].items())]
    env = os.environ | {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "FAULTS": '{"slow_write": 0.3}',
                        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with log.open("ab") as stream:
        return subprocess.Popen(command, cwd=ROOT, env=env, stdout=stream, stderr=subprocess.STDOUT)


def ranks_of(launcher: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The ranks that it has started, once they are there."""
    found = []
    for process in psutil.Process(launcher.pid).children(recursive=True):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if WORKER in words and not any("launcher" in word for word in words):
            found.append(process)
    return found


def chaos(recipe: Path, name: str, kind: str, kills: int, generator: random.Random, log: Path) -> Counter[str]:
    """Start the run until it is done, killing it up to `kills` times; returns what was done and what came of it."""
    folder, happened = recipe.parent / "runs" / name, Counter[str]()
    while not (folder / "done.json").exists():
        said = len(log.read_text(errors="replace")) if log.exists() else 0
        launcher = launch(recipe, name, kind, log)
        what, kept = generator.choice(list(SIGNALS)), len(layout.complete_checkpoints(folder))
        if sum(happened.values()) < kills:
            # Mostly while it trains and saves, sometimes while it starts.
            end = time.monotonic() + (120 if generator.random() < 0.8 else generator.uniform(1.0, 8.0))
            while time.monotonic() < end and "ZeRO" not in log.read_text(errors="replace")[said:]:
                time.sleep(0.05)
            time.sleep(generator.uniform(0.0, 3.0))
            ranks = ranks_of(launcher) if launcher.poll() is None else []
            if ranks:
                victims = ranks if what == "KILL all" else [generator.choice(ranks)]
                for victim in victims:
                    victim.send_signal(SIGNALS[what])
        try:
            code = launcher.wait(timeout=180)
        except subprocess.TimeoutExpired:
            for process in ranks_of(launcher):
                process.kill()
            launcher.kill()
            raise AssertionError(f"{what}: the launcher hangs\n{log.read_text(errors='replace')[-3000:]}") from None
        if sum(happened.values()) < kills and code != 0:
            happened[f"{what}: exit {code}"] += 1
        else:
            assert code == 0, log.read_text(errors="replace")[-3000:]
        assert len(layout.complete_checkpoints(folder)) >= min(kept, 2), "a whole checkpoint is gone"
        assert code in (0, 1, EXIT_REQUEUE, EXIT_LOST_RANK, -signal.SIGKILL, 255 & -signal.SIGKILL,
                        255 & -signal.SIGTERM, 255 & -signal.SIGUSR1, 256 - signal.SIGUSR1), code
    return happened


@pytest.fixture(scope="module")
def undisturbed(recipe: Path) -> dict[str, Path]:
    found = {}
    for kind in KINDS:
        assert launch(recipe, f"whole-{kind}", kind, recipe.parent / f"whole-{kind}.log").wait(timeout=180) == 0
        found[kind] = recipe.parent / "runs" / f"whole-{kind}"
    return found


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.full)])
def test_killed_again_and_again(recipe: Path, undisturbed: dict[str, Path], kills: int) -> None:
    generator, happened, number = random.Random(kills), Counter[str](), 0
    shared_before = set(Path("/dev/shm").glob("deepspeed*"))
    while sum(happened.values()) < kills:
        kind = list(KINDS)[number % len(KINDS)]
        log = recipe.parent / f"{kills}-{number}.log"
        name, left = f"run-{kills}-{number}", kills - sum(happened.values())
        happened += chaos(recipe, name, kind, min(12, left), generator, log)
        folder, expected = recipe.parent / "runs" / name, undisturbed[kind]
        assert metrics_of(folder) == metrics_of(expected)
        for one, other in ((weights_of(folder), weights_of(expected)),
                           (last_state(folder, UPDATES), last_state(expected, UPDATES))):
            assert one.keys() == other.keys()
            assert all(torch.equal(one[key], other[key]) for key in one)
        assert "is not what was written" not in log.read_text(errors="replace")
        number += 1
    assert set(Path("/dev/shm").glob("deepspeed*")) <= shared_before
    print("\n".join(f"{count:4}  {what}" for what, count in sorted(happened.items())))
