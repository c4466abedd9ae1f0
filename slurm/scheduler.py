"""Interface to SLURM through its commands: test and submit scripts, cancel jobs, query the queue.

Needs no accounting database. Every function raises InputError if SLURM refuses or is not installed.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from data_prep.base.errors import InputError

TIMEOUT_SECONDS = 120
ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
         "REVOKED", "TIMEOUT"}


@dataclass(frozen=True)
class Job:
    """State of a job, or of an array element, in the queue."""

    state: str
    """As SLURM spells it: PENDING, RUNNING, COMPLETED ..."""
    nodes: str
    reason: str

    @property
    def ended(self) -> bool:
        """True if the job has ended; SLURM remembers such jobs for a few minutes only."""
        return self.state in ENDED


def check(script: str) -> str:
    """Output of `sbatch --test-only`: when and where `script` would start."""
    return _call(["sbatch", "--test-only"], script).strip().removeprefix("sbatch: ")


def submit(script: str, after: Sequence[str], when: str = "afterok") -> str:
    """Submit `script` and return the job id; it starts once all jobs in `after` have succeeded, else is cancelled.

    when: `afterany` starts it once they have ended, however they did.
    """
    waits = [f"--dependency={when}:{':'.join(after)}", "--kill-on-invalid-dep=yes"] if after else []
    return _call(["sbatch", "--parsable", *waits], script).strip().partition(";")[0]


def cancel(jobs: Sequence[str]) -> None:
    """Cancel jobs."""
    _call(["scancel", *jobs])


def queue() -> dict[str, Job]:
    """The user's jobs that SLURM remembers, by id; `12_0` is an element of array 12."""
    jobs = {}
    for line in _call(["squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i|%T|%N|%r"]).splitlines():
        name, state, nodes, reason = line.split("|", 3)
        jobs[name] = Job(state, nodes, reason)
    return jobs


def _call(command: Sequence[str], script: str | None = None) -> str:
    """Output of a SLURM command; `sbatch --test-only` writes it to stderr."""
    try:
        done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=TIMEOUT_SECONDS,
                              check=False)
    except FileNotFoundError:
        raise InputError(f"no {command[0]} on this machine; expected SLURM's commands: run this where you would type "
                         "sbatch") from None
    except subprocess.TimeoutExpired:
        raise InputError(f"{command[0]} did not answer in {TIMEOUT_SECONDS} s; is SLURM's controller up?") from None
    if done.returncode:
        said = " ".join(line.removeprefix(f"{command[0]}: ").removeprefix("error: ")
                        for line in done.stderr.splitlines())
        raise InputError(f"SLURM refuses: {said or f'{command[0]} ended with code {done.returncode}'}")
    return done.stdout + (done.stderr if "--test-only" in command else "")
