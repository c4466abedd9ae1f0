"""The collapse check: what counts, when, and that a run at chance ends with advice and exit code 3."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainer.collapse import FEWEST_UPDATES, Collapsed, check_collapse, is_constant
from trainer.config import Recipe
from trainer.endings import EXIT_STOPPED
from trainer.evaluate.predict import Predictions
from trainer.state import TrainState
from trainer.train import train

GOLD = np.array([0, 1, 2, 2, 1, 2])


def predictions(predicted: list[int]) -> Predictions:
    found = np.array(predicted)
    return Predictions(found, GOLD, (found == GOLD).astype(float), np.ones(len(GOLD)))


AT_CHANCE, ALIVE = predictions([2] * 6), predictions([2, 2, 2, 2, 1, 2])


def recipe(**evaluation: str) -> Recipe:
    return Recipe.model_validate({"model": {"random": "tiny"}, "data": {"train": ["a/b/c"]},
                                  "schedule": {"updates": 1000}, "evaluation": evaluation})


def test_one_class_for_all_is_constant_whatever_class_it_is() -> None:
    assert is_constant(AT_CHANCE)
    assert is_constant(predictions([0] * 6))
    assert not is_constant(ALIVE)


def test_two_in_a_row_after_the_warm_up_end_the_run() -> None:
    state = TrainState(update=400)
    check_collapse(recipe(), state, 1000, AT_CHANCE)
    check_collapse(recipe(), state, 1000, ALIVE)
    check_collapse(recipe(), state, 1000, AT_CHANCE)
    with pytest.raises(Collapsed, match=r"update 400.*accuracy 0\.500.*optimizer\.lr.*on_collapse=warn"):
        check_collapse(recipe(), state, 1000, AT_CHANCE)


def test_every_model_may_begin_at_chance() -> None:
    state = TrainState(update=250)  # a quarter of the run
    for _ in range(5):
        check_collapse(recipe(), state, 1000, AT_CHANCE)
    state = TrainState(update=FEWEST_UPDATES - 1)
    for _ in range(5):
        check_collapse(recipe(), state, FEWEST_UPDATES, AT_CHANCE)


def test_told_to_go_on_it_warns_once(capsys: pytest.CaptureFixture[str]) -> None:
    state = TrainState(update=400)
    for _ in range(4):
        check_collapse(recipe(on_collapse="warn"), state, 1000, AT_CHANCE)
    assert capsys.readouterr().out.count("training has collapsed") == 1


def test_a_collapsing_run_ends_with_advice(recipe_at_chance: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(str(recipe_at_chance), name="collapsing") == EXIT_STOPPED
    assert "error: training has collapsed" in capsys.readouterr().err
    assert not (recipe_at_chance.parent / "runs/collapsing/done.json").exists()


@pytest.fixture
def recipe_at_chance(tmp_path: Path, shards: Path) -> Path:
    """A learning rate that throws any model to one class."""
    path = tmp_path / "chance.yaml"
    path.write_text(
        f"output: {tmp_path / 'runs'}\nmodel: {{random: tiny}}\nbatch: {{size: 4}}\n"
        f"data: {{shards: {shards}, train: [xnli/train/en], dev: [xnli/dev/en]}}\n"
        "optimizer: {lr: 3.0, clip_norm: null}\nschedule: {updates: 300}\nevaluation: {every: 50}\n", encoding="utf-8")
    return path
