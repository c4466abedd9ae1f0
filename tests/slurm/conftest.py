"""The cluster that tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slurm import cluster as machines


@pytest.fixture(scope="session")
def cluster() -> Iterator[machines.Cluster]:
    """A real SLURM cluster of two nodes; its tests are skipped where SLURM is not installed."""
    if lacking := machines.missing():
        pytest.skip(lacking)
    running = machines.start()
    yield running
    machines.stop(running)
