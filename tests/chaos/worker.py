"""`python -m trainer` with faults planted, for processes that the tests start and kill.

    FAULTS='{"slow_write": 0.2}' python tests/chaos/worker.py train RECIPE ...

slow_write: seconds that every file of a checkpoint takes at least. full_disk: {"write": N, "rank": R}: the N-th write
of that rank's checkpoint files, and all after it, find the disk full. not_finite: [first, last] update with a NaN in
the loss of rank 0. hang: {"step": U, "rank": R}: that rank stops answering. dump: folder for the whole state, by
name, after every save and after a restore.
"""

# ruff: noqa: E402
from __future__ import annotations

import errno
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from data_prep.base import interrupt
from trainer.distributed.preemption import STOP_SIGNALS

interrupt.listen()
STOP_SIGNALS.__enter__()  # both as `python -m trainer` does, before anything slow is imported

import torch
from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

from trainer.__main__ import run
from trainer.checkpoint.store import Store
from trainer.engine import checkpoint_writer as writer
from trainer.engine.engine import Engine
from trainer.engine.step_context import StepContext

FAULTS: dict[str, Any] = json.loads(os.environ.get("FAULTS", "{}"))


def slow_write(seconds: float) -> None:
    """Every file of a checkpoint takes long."""
    original = writer.write_file

    def write_file(path: Path, content: Any) -> dict[str, Any]:
        time.sleep(seconds / 2)
        written = original(path, content)
        time.sleep(seconds / 2)
        return written

    writer.write_file = write_file


def full_disk(fault: dict[str, int]) -> None:
    """From some write on the disk is full."""
    original, writes = writer._Disk.to_file, 0

    def to_file(self: Any, content: Any) -> None:
        nonlocal writes
        writes += 1
        if writes >= fault["write"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, content)

    if int(os.environ.get("RANK", "0")) == fault["rank"]:
        writer._Disk.to_file = to_file  # type: ignore[method-assign]


def not_finite(updates: list[int]) -> None:
    """The loss of rank 0 is NaN in some updates."""
    original = StepContext.backward

    def backward(self: StepContext, loss: torch.Tensor, *, last: bool = True) -> None:
        bad = self._engine.ranks.is_main and updates[0] <= self._step + 1 <= updates[1]
        original(self, loss * float("nan") if bad else loss, last=last)

    StepContext.backward = backward  # type: ignore[method-assign]


def hang(fault: dict[str, int]) -> None:
    """A rank no longer takes part."""
    original = Engine.step

    def step(self: Engine) -> bool:
        if self.ranks.rank == fault["rank"] and self._engine.global_steps + 1 == fault["step"]:
            time.sleep(3600)
        return original(self)

    Engine.step = step  # type: ignore[method-assign]


def dump(folder: str) -> None:
    """Write parameters, moments and the learning rate, whole and by name, after a save and after a restore."""
    save, restore = Store.save, Store.restore

    def write(store: Store, when: str) -> None:
        engine = store._engine
        if engine.stage in (1, 2):  # DeepSpeed links moments after the first group's first step: the others have none
            engine._engine.optimizer._hp_optimizer_states_linked = False
            engine._engine.optimizer._lazy_init_hp_params_optimizer_state()
        found: dict[str, Any] = {"learning_rate": engine.learning_rate, "groups": [
            {key: value for key, value in group.items() if key != "params"}
            for group in engine._engine.optimizer.param_groups]}
        inner = getattr(engine._engine.optimizer, "optimizer", engine._engine.optimizer)
        found["steps"] = sorted(float(state["step"]) for state in inner.state.values() if "step" in state)
        moments = [key for key in ("exp_avg", "exp_avg_sq") if any(key in state for state in inner.state.values())]
        for name, parameter in engine.module.named_parameters():
            if engine.stage:
                found[name] = safe_get_full_fp32_param(parameter)
                for key in moments:
                    found[f"{name}/{key}"] = safe_get_full_optimizer_state(parameter, key)
            else:
                found[name] = parameter.detach()
                for key in moments:
                    found[f"{name}/{key}"] = engine._engine.optimizer.state[parameter][key]
        if engine.ranks.is_main:
            torch.save(found, Path(folder) / f"{when}.pt")

    def saving(self: Store, state: Any) -> None:
        write(self, f"saved-{state.step}")
        save(self, state)

    def restoring(self: Store) -> Any:
        state = restore(self)
        if state is not None:
            write(self, f"restored-{state.step}")
        return state

    Store.save, Store.restore = saving, restoring  # type: ignore[method-assign]


if __name__ == "__main__":
    for name, value in FAULTS.items():
        {"slow_write": slow_write, "full_disk": full_disk, "not_finite": not_finite, "hang": hang, "dump": dump}[name](
            value)
    run()
