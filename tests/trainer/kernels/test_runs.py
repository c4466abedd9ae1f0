"""End to end: a run is the same with every backend, to the tolerance of the table, and says which one it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.trainer.kernels.backends import LOSS_OF_A_RUN, each_fused
from tests.trainer.small_runs import PGD, metrics_of, run
from trainer.kernels import cpu, triton_ops

RUNS = {
    "pgd": PGD,
    "sequence": {**PGD, "robust.scope": "sequence", "robust.norm": "linf", "robust.epsilon": "0.1"},
    "noise": {"robust.method": "random_noise", "robust.noise": "gaussian", "robust.epsilon": "5.0"},
}


def losses(folder: Path) -> list[float]:
    return [line["train/loss"] for line in metrics_of(folder) if "train/loss" in line]


@each_fused
@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_the_same_with_every_backend(recipe: Path, backend: str, name: str,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    updates = 3 if backend == "triton" else 10  # interpreted, an update takes seconds; before the third, noise is small
    common = {**RUNS[name], "schedule.max_steps": str(updates), "optimizer.name": "sgd", "optimizer.lr": "0.1",
              "evaluation.every_steps": "100"}
    expected = losses(run(recipe, "expected", {**common, "kernels": "reference"}))
    if backend == "triton":
        monkeypatch.setattr(triton_ops, "why_not", lambda: None)  # interpreted, which no run does of its own
    folder = run(recipe, "found", {**common, "kernels": backend})
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["kernels"] == backend
    assert len(expected) == updates
    assert losses(folder) == pytest.approx(expected, rel=LOSS_OF_A_RUN)
    wrong = losses(run(recipe, "wrong", {**common, "kernels": "reference", "robust.epsilon": "0.05"}))
    assert wrong != pytest.approx(expected, rel=10 * LOSS_OF_A_RUN), "the perturbation must matter for this to say much"


def test_a_fallback_is_recorded(recipe: Path, monkeypatch: pytest.MonkeyPatch,
                                capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cpu, "why_not", lambda: "no C++ compiler")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    folder = run(recipe, "fallen", PGD)
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["kernels"] == "reference"
    assert capsys.readouterr().err.count("warning: kernels: the slower reference runs instead of cpu") == 1
