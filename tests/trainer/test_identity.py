"""What determines a run but the seed: settings and content are told apart, seeds and ways of running it are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from data_prep.errors import InputError
from tests.random_cells import write_random_cell
from tests.trainer.small_runs import run
from trainer.config import load_recipe
from trainer.data.loader import open_training_data
from trainer.evaluate.rows import recipe_digest
from trainer.identity import determining_settings, majority_share
from trainer.train import count_updates, train


def determined(recipe: Path, **overrides: str) -> dict[str, Any]:
    settings = load_recipe(str(recipe), overrides)
    data = open_training_data(settings.data)
    return determining_settings(settings, data, count_updates(settings, data), "cpu", 0.1)


def digest_of(recipe: Path, **overrides: str) -> str:
    return recipe_digest(determined(recipe, **overrides))


def test_the_seed_and_how_a_run_executes_are_no_part_of_it(recipe: Path) -> None:
    free = {"seed": "8", "name": "other", "label": "other", "output": "elsewhere", "batch.micro_size": "2",
            "data.workers": "2", "engine.config": "zero2", "checkpoint.every": "1", "logging.every": "5",
            "evaluation.batch_size": "7", "model.gradient_checkpointing": "true", "robust.epsilon": "0.7",
            "kernels": "reference"}  # a plain run has neither a ball nor kernels
    assert digest_of(recipe, **free) == digest_of(recipe)


@pytest.mark.parametrize(("key", "value"), [
    ("optimizer.lr", "0.002"), ("batch.size", "4"), ("schedule.updates", "11"), ("data.max_length", "20"),
    ("engine.precision", "bf16"), ("robust.method", "pgd"), ("evaluation.every", "5"), ("optimizer.fused", "true"),
    ("data.dev", "[xnli/dev/de]"), ("data.train", "[xnli/train/en,xnli/dev/de]"), ("model.random", "base"),
])
def test_all_else_is(recipe: Path, key: str, value: str) -> None:
    assert digest_of(recipe, **{key: value}) != digest_of(recipe)


def test_a_length_in_epochs_is_one_in_updates(recipe: Path) -> None:
    # 60 rows, batches of 8: 7 updates an epoch
    assert digest_of(recipe, **{"schedule.updates": "null", "schedule.epochs": "1"}) == digest_of(
        recipe, **{"schedule.updates": "7"})


def test_data_count_by_content(recipe: Path, shards: Path, tmp_path: Path) -> None:
    shutil.copytree(shards, tmp_path / "copy")
    moved = {"data.shards": str(tmp_path / "copy")}
    assert digest_of(recipe, **moved) == digest_of(recipe)
    for cell, key in (("xnli/train/en", "data.rows"), ("xnli/dev/en", "selection.rows")):
        before = determined(recipe, **moved)
        shutil.rmtree(tmp_path / "copy" / cell)
        write_random_cell(tmp_path / "copy", cell, 60, seed=99)
        after = determined(recipe, **moved)
        assert {name for name in after if after[name] != before[name]} == {key}


def test_what_may_be_selected_of_a_run(recipe: Path) -> None:
    plain = determined(recipe)
    late = determined(recipe, **{"robust.method": "pgd", "robust.ramp_end": "0.5", "evaluation.every": "3"})
    assert (plain["selection.window"], plain["selection.evaluations"]) == (1.0, 5)
    assert (late["selection.window"], late["selection.evaluations"]) == (0.5, 3)  # after updates 6, 9 and 10
    assert (plain["evaluation.every"], plain["selection.cell"]) == (2, "xnli/dev/en")


def test_chains_over_seeds_are_one_recipe(recipe: Path) -> None:
    """Seed s of the target from seed s of the stage before: the weights differ, the recipe does not."""
    first, second = run(recipe, "one"), run(recipe, "two", {"seed": "8"})
    other = run(recipe, "three", {"optimizer.lr": "0.002"})
    start = {"model.random": "null"}
    digests = [digest_of(recipe, **start, seed=seed, init_from=str(origin))
               for seed, origin in (("1", first), ("2", second), ("1", other))]
    assert digests[0] == digests[1] != digests[2]
    record = json.loads((first / "run.json").read_text())
    assert record["recipe_digest"] == digest_of(recipe, seed="3")
    assert determined(recipe, **start, init_from=str(first))["model.origin"] == f"recipe {record['recipe_digest']}"
    names = [digest_of(recipe, **start, **{"model.name": str(folder / "best")}) for folder in (first, second)]
    assert names[0] != names[1]  # a folder of weights counts by content
    assert (record["status"], record["dev_cells"]["xnli/dev/en"]["chance"]) == (
        "done", majority_share(open_training_data(load_recipe(str(recipe)).data).dev["xnli/dev/en"]))


@pytest.mark.parametrize(("changes", "named"), [
    ({"data.dev": "[xnli/dev/en,xnli/test/en]"}, "data.dev: xnli/test/en is a test cell"),
    ({"data.dev": "[xnli/*/en]", "data.select_on": "xnli/dev/en"}, "data.dev: xnli/test/en is a test cell"),
    ({"data.select_on": "xnli/test/en"}, "data.select_on: xnli/test/en is a test cell"),
])
def test_nothing_is_chosen_on_a_test_cell(
    recipe: Path, shards: Path, tmp_path: Path, changes: dict[str, str], named: str
) -> None:
    shutil.copytree(shards, tmp_path / "copy")
    write_random_cell(tmp_path / "copy", "xnli/test/en", 20)
    with pytest.raises(InputError, match=named):
        train(str(recipe), name="cheat", **{"data.shards": str(tmp_path / "copy"), **changes})
    assert not (recipe.parent / "runs").exists()
