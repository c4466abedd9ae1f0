"""One SLURM cluster for all tests here, started when the first asks for it; they are skipped where SLURM is absent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster, missing, start, stop


def running() -> Iterator[Cluster]:
    """A cluster, as long as it is in use."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    cluster = start()
    try:
        yield cluster
    finally:
        stop(cluster)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster that tests share."""
    yield from running()


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A cluster that a test may harm."""
    yield from running()
