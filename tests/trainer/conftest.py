"""Cells that many tests of the trainer read, written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.small_runs import write_cells, write_recipe
from trainer.runs.log import log_to_terminal


@pytest.fixture(scope="session", autouse=True)
def terminal() -> None:
    """Log lines in the terminal, as under `python -m trainer`."""
    log_to_terminal()


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of cells; read only."""
    root = tmp_path_factory.mktemp("cells") / "shards"
    write_cells(root)
    return root


@pytest.fixture
def recipe(tmp_path: Path, shards: Path) -> Path:
    """A small recipe in a folder of its own."""
    return write_recipe(tmp_path / "work", shards)
