"""A rank that ends and does nothing else, for jobs whose PYTHON is "python tests/slurm/ends.py".

    ENDS="76,2 0,0"    in the first life rank 0 ends with code 76 and rank 1 with 2, in all later ones both with 0

Instead of a code: `killed`, by a signal that nobody sees coming; `waits`, until it is told to end; `asked`, which ends
with code 75 once USR1 has asked it to leave. MEETING is a folder in which ranks wait for each other before they end.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

LIFE = int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def end(how: str) -> None:
    """End."""
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "waits":
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(3600)
    if how == "asked":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        print("waiting", flush=True)
        signal.sigwait([signal.SIGUSR1])
        sys.exit(75)
    sys.exit(int(how))


def meet(here: str, ranks: int) -> None:
    """Wait until all ranks of this life are here."""
    (Path(os.environ["MEETING"]) / f"{here}-{os.environ['SLURM_PROCID']}").touch()
    while len(list(Path(os.environ["MEETING"]).glob(f"{here}-*"))) < ranks:
        time.sleep(0.05)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a real rank that is about to leave is not to be hurried
    lives = os.environ["ENDS"].split()
    ends = lives[min(LIFE, len(lives) - 1)].split(",")
    meet(f"{os.environ['SLURM_JOB_ID']}-{LIFE}", len(ends))
    end(ends[int(os.environ["SLURM_PROCID"])])
