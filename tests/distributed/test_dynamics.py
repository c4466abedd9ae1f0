"""Training dynamics on two ranks at ZeRO 3: those of one process, to rounding."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.ranks import start
from tests.trainer.small_runs import ZERO3, run, write_cells, write_recipe
from trainer.results.dynamics import read_summary


def test_two_ranks_record_what_one_does(tmp_path: Path) -> None:
    write_cells(tmp_path / "shards")
    recipe = write_recipe(tmp_path / "work", tmp_path / "shards")
    settings = {"logging.dynamics": "true", "schedule.max_steps": "14", "model.dropout": "0"}
    ranks = start(2, ["train", str(recipe), "--name=two", *(f"--{key}={value}" for key, value in {
        **settings, **ZERO3}.items())], tmp_path)
    assert ranks.wait() == [0, 0], ranks.said()
    two = read_summary(tmp_path / "work/runs/two/dynamics.parquet")
    one = read_summary(run(recipe, "one", settings) / "dynamics.parquet")
    assert (one["cell"] == two["cell"]).all()
    assert (one["id"] == two["id"]).all()
    for name in ("confidence", "variability", "correctness"):
        assert two[name] == pytest.approx(one[name], abs=1e-4), name
