"""Worker processes end with the process that started them, however that ended."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STARTED = """
import multiprocessing, time
from data_prep import workers
workers.POOL_FROM_ROWS = 0
with workers.mapper(lambda batch: batch, 2, None) as encode:
    print(next(encode(iter(range(9)))), *[child.pid for child in multiprocessing.active_children()], flush=True)
    time.sleep(60)
"""


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.timeout(60)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_workers_do_not_outlive_a_killed_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", STARTED], cwd=ROOT, text=True, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    try:
        first, *workers = map(int, parent.stdout.readline().split())
        assert first == 0
        assert len(workers) == 2
        assert all(map(lives, workers))
    finally:
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 5
    while any(map(lives, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
