"""Slow tests, which are not in the default suite (`pytest`), run besides by `.ci/run` (`pytest -m slow`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported: a thread for each of the processes, not for all
    os.environ.setdefault("OMP_NUM_THREADS", "1")

HERE = Path(__file__).parent
LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
SLOW = (
    "chaos",  # commands and ranks killed and started again
    "distributed",  # several ranks at every ZeRO stage against the plain loop
    "fuzz",  # damaged files and generated inputs
    "real",  # real benchmark files
    "slurm/test_jobs.py", "slurm/test_lives.py", "slurm/test_study_jobs.py",  # jobs on a real cluster
    "trainer/test_family_chain.py",  # every encoder family through all commands
    "trainer/test_mixture_run.py",  # several tasks through all commands
    "trainer/kernels/test_triton.py",  # all kernel tests again, interpreted
)
LONG = (
    "slurm/test_lives.py", "distributed/test_exactness.py", "chaos/test_kills.py", "chaos/test_commands.py",
    "chaos/test_interrupts.py", "chaos/test_worlds.py", "chaos/test_ranks.py", "real/test_real_encoder.py",
    "real/test_real_chain.py", "distributed", "trainer/kernels/test_triton.py", "trainer/test_family_chain.py",
    "fuzz", "trainer/doctor", "trainer/checkpoint", "trainer/diagnose",
)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Up to 4 processes for a whole suite; none beside pytest's own where paths are named, which then start sooner."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return min(len(os.sched_getaffinity(0)), 4) if whole and not config.option.collectonly else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests below SLOW, and put the files that take longest first: processes then end at about one time."""
    for item in items:
        if _place(item).startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: next((i for i, file in enumerate(LONG) if _place(item).startswith(file)), len(LONG)))


def _place(item: pytest.Item) -> str:
    return item.path.relative_to(HERE).as_posix()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Remove the launcher variables that a command in this process has set: later tests start processes of their own,
    a SLURM job among them, that would take themselves for its only rank."""
    for name in LAUNCHER:
        os.environ.pop(name, None)


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Function that makes the output go to a terminal of as many columns."""
    def take(columns: int) -> None:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    return take
