"""The collapse check: what counts, when, and that a run at chance ends with advice and exit code 3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep.base.errors import InputError
from tests.random_cells import write_random_cell
from trainer.checkpoint.export import export
from trainer.config import Recipe
from trainer.distributed.preemption import EXIT_STOPPED
from trainer.evaluate.predict import Predictions
from trainer.evaluate.run import evaluate
from trainer.monitor.collapse import FEWEST_STEPS, CollapseCheck, Collapsed, collapse_advice, is_constant
from trainer.results.scores import RESULTS_FILE, read_rows
from trainer.runs.record import read_finished
from trainer.runs.state import TrainState
from trainer.train import train

GOLD = np.array([0, 1, 2, 2, 1, 2])


def predictions(predicted: list[int]) -> Predictions:
    found = np.array(predicted)
    return Predictions(found, GOLD)


AT_CHANCE, ALIVE = predictions([2] * 6), predictions([2, 2, 2, 2, 1, 2])


def recipe(**sections: Any) -> Recipe:
    return Recipe.model_validate({"model": {"random": "tiny"}, "data": {"train": ["a/b/c"]},
                                  "schedule": {"max_steps": 1000}, **sections})


def check(max_steps: int = 1000, on_collapse: Any = "stop") -> CollapseCheck:
    return CollapseCheck(max_steps, 0.1, on_collapse, "Lower optimizer.lr")


def advice(recipe: Recipe, hidden_size: int) -> str:
    return collapse_advice(recipe.optimizer, recipe.schedule, recipe.robust, hidden_size=hidden_size,
                           random_weights=recipe.model.random is not None)


def test_one_class_for_all_is_constant_whatever_class_it_is() -> None:
    assert is_constant(AT_CHANCE)
    assert is_constant(predictions([0] * 6))
    assert not is_constant(ALIVE)


def test_two_in_a_row_after_the_warm_up_end_the_run() -> None:
    state = TrainState(step=400)
    check().check(state, AT_CHANCE)
    check().check(state, ALIVE)
    check().check(state, AT_CHANCE)
    with pytest.raises(Collapsed, match=r"step 400.*accuracy 50\.0 %.*optimizer\.lr.*on_collapse=warn"):
        check().check(state, AT_CHANCE)


def test_every_model_may_begin_at_chance() -> None:
    state = TrainState(step=250)  # a quarter of the run
    for _ in range(5):
        check().check(state, AT_CHANCE)
    state = TrainState(step=FEWEST_STEPS - 1)
    for _ in range(5):
        check(FEWEST_STEPS).check(state, AT_CHANCE)


def test_told_to_go_on_it_warns_once(capsys: pytest.CaptureFixture[str]) -> None:
    state = TrainState(step=400)
    for _ in range(4):
        check(on_collapse="warn").check(state, AT_CHANCE)
    assert capsys.readouterr().err.count("warning: training has collapsed") == 1


def test_a_collapsing_run_ends_with_advice(recipe_at_chance: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(str(recipe_at_chance), name="collapsing") == EXIT_STOPPED
    assert "error: training has collapsed" in capsys.readouterr().err
    run = recipe_at_chance.parent / "runs/collapsing"
    assert not (run / "done.json").exists()
    record = json.loads((run / "run.json").read_text())
    assert (record["status"], record["at_chance"]) == ("collapsed", True)
    assert record["why"].startswith("training has collapsed: at step")

    write_random_cell(recipe_at_chance.parent / "shards", "xnli/test/en", 20, seed=5)
    assert evaluate(str(run), tasks="xnli", shards=str(recipe_at_chance.parent / "shards")) == 0
    assert "collapsed; its rows count as a failed seed" in capsys.readouterr().out
    row = next(row for row in read_rows(run / "eval" / RESULTS_FILE) if row.selection == "best")
    assert (row.ended, row.failed, row.at_chance) == ("collapsed", True, True)
    with pytest.raises(InputError, match="not a finished run"):
        read_finished(run)

    assert export(str(run), out=str(recipe_at_chance.parent / "out")) == 0
    assert f"warning: training of {run} collapsed; this is the model of step" in capsys.readouterr().out


def test_a_collapse_before_anything_could_be_chosen_keeps_the_last_step(recipe_at_chance: Path) -> None:
    late = {"robust.method": "random_noise", "robust.ramp_start": "0.8", "robust.ramp_end": "0.9"}
    assert train(str(recipe_at_chance), name="early", **late) == EXIT_STOPPED
    run = recipe_at_chance.parent / "runs/early"
    record = json.loads((run / "run.json").read_text())
    assert record["selection"] == {"cell": "xnli/dev/en", "metric": "accuracy", "value": None, "step": 250}
    assert (run / "best/model.safetensors").is_file()


def test_told_to_go_on_a_collapsed_run_is_a_failed_seed_still(
    recipe_at_chance: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(str(recipe_at_chance), name="on", **{"evaluation.on_collapse": "warn"}) == 0
    assert "warning: the final model is at chance: accuracy" in capsys.readouterr().err
    record = json.loads((recipe_at_chance.parent / "runs/on/run.json").read_text())
    assert (record["status"], record["at_chance"]) == ("collapsed", True)


def test_advice_fits_the_model_and_the_recipe() -> None:
    tiny = advice(recipe(), 64)
    assert tiny == ("Lower optimizer.lr (now 2e-05), train longer: the weights begin at random, or take another seed "
                    "and report the failed one")
    changes = {"robust": {"method": "pgd", "epsilon": 0.4}, "model": {"name": "xlm-roberta-large"},
               "schedule": {"max_steps": 1000, "warmup_ratio": 0.0}, "optimizer": {"max_grad_norm": None}}
    large = advice(Recipe.model_validate({**recipe().model_dump(), **changes}), 1024)
    assert "Lower optimizer.lr (now 2e-05) to between 5e-6 and 1e-5," in large
    for words in ("raise schedule.warmup_ratio to 0.1 (now 0)", "clip gradients", "robust.epsilon, now 0.4"):
        assert words in large
    assert "begin at random" not in large


@pytest.fixture
def recipe_at_chance(tmp_path: Path, shards: Path) -> Path:
    """A learning rate that throws any model to one class."""
    path = tmp_path / "chance.yaml"
    path.write_text(
        f"output: {tmp_path / 'runs'}\nmodel: {{random: tiny}}\nbatch: {{size: 4}}\n"
        f"data: {{shards: {shards}, train: [xnli/train/en], dev: [xnli/dev/en]}}\n"
        "optimizer: {lr: 3.0, max_grad_norm: null}\nschedule: {max_steps: 300}\n"
        "evaluation: {every_steps: 50}\n", encoding="utf-8")
    return path
