"""Slow tests, which are not in the default suite (`pytest`), run besides by `.ci/run` (`pytest -m slow`)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
SLOW = (
    "chaos",  # commands and ranks killed and started again
    "distributed",  # several ranks at every ZeRO stage against the plain loop
    "fuzz",  # damaged files and generated inputs
    "real",  # real benchmark files
    "slurm/test_jobs.py", "slurm/test_lives.py",  # jobs on a real cluster
    "trainer/demo/test_chain.py",
    "trainer/test_family_chain.py",  # every encoder family through all commands
    "trainer/kernels/test_triton.py",  # all kernel tests again, interpreted
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests below SLOW."""
    for item in items:
        if item.path.relative_to(HERE).as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Remove the launcher variables that a command in this process has set: later tests start processes of their own,
    a SLURM job among them, that would take themselves for its only rank."""
    for name in LAUNCHER:
        os.environ.pop(name, None)
