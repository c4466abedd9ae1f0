"""The command that follows a finished training (`train --then evaluate`), in a process of its own.

So the memory of training is free, an evaluation under a launcher is alone, and a signal ends it at once.
"""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import sys
from pathlib import Path

from trainer.distributed.preemption import EXIT_REQUEUE, STOP_SIGNALS
from trainer.distributed.ranks import without_launcher

NOTHING = "nothing"
FOLLOW_UPS = (NOTHING, "evaluate")
POLL_SECONDS = 0.2

_log = logging.getLogger(__name__)


def run_command(command: str) -> int:
    """Run `python ...` with this interpreter; returns its exit code, EXIT_REQUEUE where a signal stopped it."""
    code = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (code, os.environ.get("PYTHONPATH"))))
    environment = without_launcher(os.environ) | {"PYTHONPATH": path}
    with STOP_SIGNALS as signals, subprocess.Popen(
            [sys.executable, *shlex.split(command)[1:]], env=environment) as process:
        while process.poll() is None:
            if signals.received:
                process.terminate()
            try:
                process.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        if signals.received:
            _log.warning("stopped by %s: training is done, what follows is not; give the same command again",
                         signals.received)
            return EXIT_REQUEUE
        return process.returncode
