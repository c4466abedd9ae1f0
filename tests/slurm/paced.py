"""`python -m trainer` for jobs whose PYTHON is "python tests/slurm/paced.py", with changes that variables ask for:

    PACE="2 0.5"            in the job's first two lives updates take half a second more, until it is asked to leave
    ACT="scontrol ..."      in its first life, before its third update, the main rank gives this command, about its job
    WRONG_RANK=1            rank 1 is given a word that it refuses
"""

# ruff: noqa: E402
from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from trainer.distributed.preemption import STOP_SIGNALS

STOP_SIGNALS.__enter__()  # as `python -m trainer` does, before anything slow is imported

from trainer.__main__ import run
from trainer.engine.engine import Engine

LIFE = 1 + int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def pace(lives: str, seconds: str) -> None:
    """Slow updates."""
    step = Engine.step

    def slow_step(self: Engine) -> bool:
        end = time.monotonic() + float(seconds)
        while STOP_SIGNALS.received is None and time.monotonic() < end:
            time.sleep(0.05)
        return step(self)

    if int(lives) >= LIFE:
        Engine.step = slow_step  # type: ignore[method-assign]


def act(*command: str) -> None:
    """A command in the middle."""
    step, begun = Engine.step, 0

    def acting_step(self: Engine) -> bool:
        nonlocal begun
        begun += 1
        if begun == 3 and self.ranks.is_main:
            subprocess.run([*command, os.environ["SLURM_JOB_ID"]], check=True)
        return step(self)

    if LIFE == 1:
        Engine.step = acting_step  # type: ignore[method-assign]


if __name__ == "__main__":
    if "PACE" in os.environ:
        pace(*os.environ["PACE"].split())
    if "ACT" in os.environ:
        act(*os.environ["ACT"].split())
    wrong = ["--batch.size=many"] if os.environ.get("WRONG_RANK") == os.environ["SLURM_PROCID"] else []
    sys.argv[1:] = [*sys.argv[3:], *wrong]  # without -m trainer
    run()
