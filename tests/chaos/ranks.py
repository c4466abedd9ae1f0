"""Starts the ranks of a run as processes, and looks at what they leave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.distributed.ranks import free_port

ROOT = Path(__file__).parents[2]
WORKER = str(ROOT / "tests/chaos/worker.py")


@dataclass
class Ranks:
    """The processes of one life of a run, by rank, and their logs."""

    processes: list[subprocess.Popen[bytes]]
    logs: list[Path] = field(default_factory=list)

    def wait(self, timeout: float = 120) -> list[int]:
        """The exit codes, by rank; kills what is left when one has failed to end in time."""
        end = time.monotonic() + timeout
        try:
            return [process.wait(timeout=max(0.1, end - time.monotonic())) for process in self.processes]
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {timeout} s\n{self.said()}") from None

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to all that still run."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(number)

    def said(self) -> str:
        """What all ranks have written to the terminal."""
        return "\n".join(log.read_text(encoding="utf-8", errors="replace")[-4000:] for log in self.logs)


def hear_ctrl_c() -> None:
    """In a new process: hear SIGINT, also where these tests run in the background of a script, which ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def start(world: int, command: list[str], folder: Path, faults: dict[str, Any] | None = None) -> Ranks:
    """`python -m trainer` with `command` on `world` ranks, with faults of `worker` planted."""
    folder.mkdir(parents=True, exist_ok=True)
    port, ranks = str(free_port()), Ranks([])
    for rank in range(world):
        env = os.environ | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world),
                            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1",
                            "FAULTS": json.dumps(faults or {})}
        log = folder / f"{time.monotonic_ns()}.rank{rank}.log"
        ranks.logs.append(log)
        with log.open("wb") as stream:
            ranks.processes.append(subprocess.Popen([sys.executable, WORKER, *command], env=env, cwd=ROOT,
                                                    stdout=stream, stderr=subprocess.STDOUT, preexec_fn=hear_ctrl_c))
    return ranks
