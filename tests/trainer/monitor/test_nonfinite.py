"""NaN and Inf: the update is skipped at every ZeRO stage, noted with its examples, and ends the run in time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.small_runs import PGD, ZERO3, launcher_variables_kept, run, weights_of
from trainer.engine.engine import Engine
from trainer.engine.step_context import StepContext
from trainer.monitor.nonfinite import NonFinite, NonfiniteCheck
from trainer.runs.state import TrainState
from trainer.train import train

ENGINES = {"zero0": {"engine.config": "zero0"}, "zero1": {"engine.config": "zero1"},
           "zero2": {"engine.config": "zero2"}, "zero2_offload": {"engine.config": "zero2_offload"},
           "zero3": ZERO3, "zero2 bf16": {"engine.config": "zero2", "engine.precision": "bf16"}}


@contextmanager
def spoilt(first: int, last: int, value: float = float("nan"), *, gradient_only: bool = False) -> Iterator[None]:
    """Within: the loss of these updates, or only its gradient, is not finite."""
    original = StepContext.backward

    def backward(self: StepContext, loss: torch.Tensor, *, last_: int = last, **options: Any) -> None:
        if first <= self._step + 1 <= last_:
            loss = loss * (1.0 if gradient_only else value)
            if gradient_only:
                loss.register_hook(lambda grad: grad * value)
        original(self, loss, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StepContext, "backward", backward)
        yield


@contextmanager
def stepping(skip: int) -> Iterator[None]:
    """Within: the optimiser leaves out one update by itself, and the learning rate does not."""
    original = Engine.step

    def step(self: Engine) -> bool:
        if self._engine.global_steps + 1 != skip:
            return original(self)
        for parameter in self.module.parameters():
            parameter.grad = None
        return original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "step", step)
        yield


def events_of(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if "event" in line]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("engine", ENGINES)
def test_an_update_is_skipped_as_if_it_had_not_been(recipe: Path, engine: str, value: float) -> None:
    common = {"robust.method": "random_noise", **ENGINES[engine], "schedule.decay": "constant",
              "evaluation.every_steps": "100", "schedule.warmup_ratio": "0"}
    with spoilt(4, 4, value):
        found = run(recipe, "spoilt", {**common, "schedule.max_steps": "4"})
    before = run(recipe, "before", {**common, "schedule.max_steps": "3"})
    assert (event := events_of(found)[0])["event"] == "skipped_step"
    assert (event["step"], len(event["example_ids"][0])) == (4, 8)
    one, other = weights_of(found), weights_of(before)
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_after_a_skip_training_goes_on_as_without_that_update(recipe: Path) -> None:
    settings = {**PGD, "optimizer.max_grad_norm": "null", "evaluation.every_steps": "100"}
    with spoilt(4, 4):
        found = run(recipe, "spoilt", settings)
    with stepping(skip=4):
        expected = run(recipe, "expected", settings)
    one, other = weights_of(found), weights_of(expected)
    assert all(torch.equal(one[key], other[key]) for key in one)
    plain = weights_of(run(recipe, "plain", settings))
    assert not all(torch.equal(one[key], plain[key]) for key in one)


def test_a_finite_loss_with_a_gradient_that_is_not(recipe: Path) -> None:
    with spoilt(4, 5, float("inf"), gradient_only=True):
        found = run(recipe, "gradient", {**ENGINES["zero2"], "evaluation.every_steps": "100"})
    assert [event["step"] for event in events_of(found)] == [4, 5]
    assert all(torch.isfinite(weight).all() for weight in weights_of(found).values())


def test_too_many_in_a_row_end_the_run_with_a_diagnosis(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with spoilt(3, 10), launcher_variables_kept():
        assert train(str(recipe), name="lost", **{**PGD, "engine.max_nonfinite_steps": "4"}) == 3
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: NaN or Inf in 5 steps in a row, the last of them 7")
    assert "lower robust.epsilon" in said
    assert not (recipe.parent / "runs/lost/done.json").exists()


def test_spikes_are_noted_with_their_examples() -> None:
    check = NonfiniteCheck(1, 3.0, "this")
    state, noted = TrainState(), []
    for step, loss in enumerate([1.0] * 12 + [2.9, 3.5, 1.0], start=1):
        check.check(state, step, loss, True, lambda: [[1, 2], [3]], lambda at, event: noted.append((at, event)))
    ((at, event),) = noted
    assert (at, event["loss"], event["example_ids"]) == (14, 3.5, [[1, 2], [3]])
    assert 1.0 < event["usual_loss"] < 1.1
    for step, loss, applied in ((16, float("nan"), False), (17, 1.0, True), (17, 1.0, False)):
        check.check(state, step, loss, applied, lambda: [], lambda at, event: None)
    with pytest.raises(NonFinite, match=r"2 steps in a row, the last .* 18: .*gradient is not finite. Try: this"):
        check.check(state, 18, 1.0, False, lambda: [], lambda at, event: None)
    assert (state.nonfinite_steps, state.nonfinite_in_a_row) == (3, 2)
