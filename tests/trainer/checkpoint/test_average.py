"""Averages of weights: numpy's mean of the snapshots, and evaluated beside the best checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from tests.trainer.small_runs import run
from trainer.checkpoint.average import average
from trainer.checkpoint.snapshots import snapshots_of
from trainer.evaluate.run import evaluate
from trainer.report.data.runs import read_runs


def test_the_mean_of_the_last_snapshots_has_rows_of_its_own(recipe: Path) -> None:
    folder = run(recipe, "averaged", {"checkpoint.snapshots": "3"})
    assert [path.name for path in snapshots_of(folder)] == ["step-00000006", "step-00000008", "step-00000010"]
    assert average(str(folder), last=2) == average(str(folder), last=2) == 0
    parts = [load_file(path / "model.safetensors") for path in snapshots_of(folder)[1:]]
    for name, found in load_file(folder / "average/model.safetensors").items():
        expected = np.mean([part[name].astype(np.float64) for part in parts], axis=0).astype(found.dtype)
        np.testing.assert_array_equal(found, expected)
    assert evaluate(str(folder), tasks="xnli", splits="dev", weights="best,average") == 0
    assert [one.label for one in read_runs([folder])] == ["plain", "plain (average of last 2)"]
