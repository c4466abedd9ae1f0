"""What the chaos tests of training share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.small_runs import write_cells, write_recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small recipe, and a folder for its runs, for all tests of a file."""
    root = tmp_path_factory.mktemp("chaos")
    write_cells(root / "shards")
    return write_recipe(root / "work", root / "shards")
