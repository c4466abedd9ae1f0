"""Snapshots of two ranks at ZeRO 3: those of one process at ZeRO 0, to rounding."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.chaos.ranks import start
from tests.trainer.small_runs import ZERO3, run, write_cells, write_recipe
from trainer.checkpoint.snapshots import snapshots_of


def test_two_ranks_keep_the_snapshots_of_one(tmp_path: Path) -> None:
    write_cells(tmp_path / "shards")
    recipe = write_recipe(tmp_path / "work", tmp_path / "shards")
    settings = {"checkpoint.snapshots": "2", "model.dropout": "0"}
    ranks = start(2, ["train", str(recipe), "--name=two", *(f"--{key}={value}" for key, value in {
        **settings, **ZERO3}.items())], tmp_path)
    assert ranks.wait() == [0, 0], ranks.said()
    two, one = snapshots_of(tmp_path / "work/runs/two"), snapshots_of(run(recipe, "one", settings))
    assert [path.name for path in two] == [path.name for path in one] == ["step-00000008", "step-00000010"]
    for found, expected in zip(two, one, strict=True):
        weights, there = (load_file(folder / "model.safetensors") for folder in (found, expected))
        assert weights.keys() == there.keys()
        assert all(weights[name].shape == there[name].shape for name in there)
        for name, value in there.items():
            torch.testing.assert_close(weights[name], value, atol=1e-4, rtol=1e-3, msg=name)
