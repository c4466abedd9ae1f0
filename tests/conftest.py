"""Which tests are slow: not in the default suite (`pytest`), run besides by `.ci/run` (`pytest -m slow`)."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
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
