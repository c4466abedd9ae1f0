"""What determines a run but the seed: settings and content are told apart, seeds and ways of running it are not."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from data_prep.base.errors import InputError
from tests.random_cells import write_random_cell
from tests.trainer.small_runs import run
from trainer.config import load_recipe
from trainer.data.loader import open_training_data
from trainer.evaluate.run import evaluate
from trainer.model.build import build_model
from trainer.monitor.outcome import outcome
from trainer.results.scores import RESULTS_FILE, read_rows, recipe_digest
from trainer.robust.random_noise import RandomNoise
from trainer.runs.identity import evaluations_to_choose_from, majority_share
from trainer.runs.state import TrainState
from trainer.train import train
from trainer.training import count_steps, determined_by


def determined(recipe: Path, **overrides: str) -> dict[str, Any]:
    settings = load_recipe(str(recipe), overrides)
    data = open_training_data(settings.data)
    model, origin = build_model(settings, data.manifest, data.max_length)
    return determined_by(settings, data, count_steps(settings, data), "cpu", model.config, origin)


def digest_of(recipe: Path, **overrides: str) -> str:
    return recipe_digest(determined(recipe, **overrides))


@pytest.mark.parametrize(("changes", "digest"), [
    ({}, "eb7676c15fbb32b1"), ({"robust.method": "pgd"}, "242a5933378350f5"),
    ({"data.train": "[text/train/en]", "data.dev": "[]"}, "656a65a387ebcf80"),
])
def test_a_run_of_one_task_is_what_it_was_before_mixtures(recipe: Path, changes: dict[str, str], digest: str) -> None:
    """Rows of seeds that were trained by earlier versions count as the same recipe."""
    settings = determined(recipe, **{"optimizer.fused": "false", **changes})  # their default
    assert recipe_digest(settings) == digest
    assert not [name for name in settings if name.startswith("mixture")]


def test_the_seed_and_how_a_run_executes_are_no_part_of_it(recipe: Path) -> None:
    free = {"seed": "8", "name": "other", "label": "other", "output": "elsewhere", "batch.micro_batch_size": "2",
            "data.workers": "2", "engine.config": "zero2", "checkpoint.every_steps": "1", "logging.every_steps": "5",
            "evaluation.batch_size": "7", "model.gradient_checkpointing": "true",
            "kernels": "reference"}  # a plain run uses none
    assert digest_of(recipe, **free) == digest_of(recipe)


@pytest.mark.parametrize(("key", "value"), [
    ("optimizer.lr", "0.002"), ("batch.size", "4"), ("schedule.max_steps", "11"), ("data.max_length", "20"),
    ("engine.precision", "bf16"), ("robust.method", "pgd"), ("evaluation.every_steps", "5"),
    ("optimizer.fused", "false"),
    ("data.dev", "[xnli/dev/de]"), ("data.train", "[xnli/train/en,xnli/dev/de]"), ("model.random", "base"),
])
def test_all_else_is(recipe: Path, key: str, value: str) -> None:
    assert digest_of(recipe, **{key: value}) != digest_of(recipe)


def test_equal_weights_under_other_class_names_are_another_start(recipe: Path, tmp_path: Path) -> None:
    """A head that is kept, kept in another order, or drawn anew."""
    settings = load_recipe(str(recipe), {})
    data = open_training_data(settings.data)
    model, _ = build_model(settings, data.manifest, data.max_length)
    labels = data.manifest.labels
    digests = set()
    for number, names in enumerate((labels, labels[1:] + labels[:1], ["LABEL_0", "LABEL_1", "LABEL_2"])):
        model.config.id2label = dict(enumerate(names))
        model.config.label2id = {name: row for row, name in enumerate(names)}
        model.save_pretrained(tmp_path / str(number))
        digests.add(digest_of(recipe, **{"model.random": "null", "model.name": str(tmp_path / str(number))}))
    assert len(digests) == 3


def test_a_head_seed_is_part_of_it_where_one_is_set(recipe: Path) -> None:
    """Runs without one keep the digest that earlier versions gave them."""
    start = {"model.random": "null", "init_from": str(run(recipe, "one", {"schedule.max_steps": "2"}))}
    found = [determined(recipe, **start, **more) for more in ({}, {"model.head_seed": "1"}, {"model.head_seed": "2"})]
    assert [one.get("model.head_seed", "absent") for one in found] == ["absent", 1, 2]
    assert len({recipe_digest(one) for one in found}) == 3


def test_the_family_of_random_weights_counts(recipe: Path) -> None:
    assert digest_of(recipe, **{"model.family": "xlm-roberta"}) == digest_of(recipe)
    assert determined(recipe, **{"model.family": "bert"})["model.origin"] == "random bert tiny"
    assert determined(recipe)["model.origin"] == "random tiny"


SGD, PGD, FGM, NOISE = ({"optimizer.name": "sgd"}, {"robust.method": "pgd"}, {"robust.method": "fgm"},
                        {"robust.method": "random_noise"})


@pytest.mark.parametrize(("base", "changes"), [
    (PGD, {"robust.start": "zero"}), (PGD, {"robust.ascent_steps": "3"}),
    (PGD, {"robust.ascent_step_size": str(2.5 / 3)}),
    (PGD, {"robust.start_radius": "0.5"}), ({"robust.method": "freelb"}, {"robust.start": "uniform"}),
    ({"robust.method": "smart"}, {"robust.start": "gaussian", "robust.start_radius": "0.1",
                                  "robust.ascent_step_size": "1"}),
    ({"robust.method": "smart"}, {"robust.bregman_momentum": "0.5"}), (SGD, {"optimizer.beta1": "0.5"}),
    ({"robust.method": "mixup"}, {"kernels": "reference"}),
    ({}, {"data.mask_ratio": "0.3"}), ({}, {"model.dropout": "0.1"}),
])
def test_what_a_run_does_not_use_or_would_be_anyway_is_no_part_of_it(
    recipe: Path, base: dict[str, str], changes: dict[str, str]
) -> None:
    assert digest_of(recipe, **base, **changes) == digest_of(recipe, **base)


@pytest.mark.parametrize(("base", "changes"), [
    (PGD, {"robust.start": "uniform"}), (PGD, {"robust.ascent_steps": "2"}), (PGD, {"robust.ascent_step_size": "0.3"}),
    (PGD | {"robust.start": "uniform"}, {"robust.start_radius": "0.5"}), (NOISE, {"robust.draws": "2"}),
    (NOISE, {"robust.noise": "gaussian"}), (FGM, {"robust.norm": "linf"}), (FGM, {"robust.shared_dropout": "true"}),
    ({"robust.method": "smart", "robust.bregman_weight": "1"}, {"robust.bregman_momentum": "0.5"}),
    ({"robust.method": "mixup"}, {"robust.mixing_alpha": "0.4"}), ({}, {"optimizer.beta1": "0.5"}),
])
def test_what_it_uses_is(recipe: Path, base: dict[str, str], changes: dict[str, str]) -> None:
    assert digest_of(recipe, **base, **changes) != digest_of(recipe, **base)


def test_the_settings_of_the_method_are_part_of_it(recipe: Path) -> None:
    noise = determined(recipe, **NOISE)
    assert {name for name in noise if name.startswith("robust.")} \
        == {f"robust.{name}" for name in RandomNoise.model_fields}
    assert (noise["robust.draws"], noise["kernels"]) == (1, "cpu")
    assert not {"kernels", "robust.site"} & determined(recipe).keys()
    assert "kernels" not in determined(recipe, **{"robust.method": "mixup"})


@pytest.mark.parametrize(("key", "value"), [
    ("attention_probs_dropout_prob", 0.3), ("classifier_dropout", 0.3), ("hidden_act", "relu"),
    ("layer_norm_eps", 1e-3), ("hidden_dropout_prob", 0.3),
])
def test_the_model_s_configuration_is_part_of_it(recipe: Path, tmp_path: Path, key: str, value: object) -> None:
    """Equal weights in a folder whose configuration differs: another model."""
    shutil.copytree(run(recipe, "one") / "best", tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    config = json.loads((tmp_path / "two/config.json").read_text())
    (tmp_path / "two/config.json").write_text(json.dumps(config | {key: value, "architectures": ["other"]}))
    one, two = (determined(recipe, **{"model.random": "null", "model.name": str(tmp_path / name)})
                for name in ("one", "two"))
    assert {name for name in one if one[name] != two[name]} <= {"model.config", "model.dropout"}
    assert one["model.config"] != two["model.config"]
    (tmp_path / "two/config.json").write_text(json.dumps(config | {"architectures": ["other"], "use_cache": False}))
    assert determined(recipe, **{"model.random": "null", "model.name": str(tmp_path / "two")}) == one


def test_dropout_is_named_as_such_and_not_as_a_configuration(recipe: Path) -> None:
    one, two = determined(recipe), determined(recipe, **{"model.dropout": "0.3"})
    assert {name for name in one if one[name] != two[name]} == {"model.dropout"}


def test_a_length_in_epochs_is_one_in_updates(recipe: Path) -> None:
    # 60 rows, batches of 8: 7 updates an epoch
    assert digest_of(recipe, **{"schedule.max_steps": "null", "schedule.epochs": "1"}) == digest_of(
        recipe, **{"schedule.max_steps": "7"})


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
    late = determined(recipe, **{"robust.method": "pgd", "robust.ramp_end": "0.5", "evaluation.every_steps": "3"})
    assert (plain["selection.window"], plain["selection.evaluations"]) == (1.0, 5)
    assert (late["selection.window"], late["selection.evaluations"]) == (0.5, 3)  # after updates 6, 9 and 10
    assert (plain["evaluation.every_steps"], plain["selection.cell"]) == (2, "xnli/dev/en")


def test_chains_over_seeds_are_one_recipe(recipe: Path) -> None:
    """Seed s of the target from seed s of the stage before: the weights differ, the recipe does not."""
    first, second = run(recipe, "one"), run(recipe, "two", {"seed": "8"})
    other = run(recipe, "three", {"optimizer.lr": "0.002"})
    start = {"model.random": "null"}
    digests = [digest_of(recipe, **start, seed=seed, init_from=str(origin))
               for seed, origin in (("1", first), ("2", second), ("1", other))]
    assert digests[0] == digests[1] != digests[2]
    target = run(recipe, "target", {**start, "init_from": str(first)})
    begun = json.loads((target / "run.json").read_text())["origin_run"]
    hashed = hashlib.sha256((first / "best/model.safetensors").read_bytes()).hexdigest()
    assert begun == hashlib.sha256(hashed.encode()).hexdigest()[:16]
    assert evaluate(str(target), tasks="xnli", splits="dev", languages="de") == 0
    assert {row.origin_run for row in read_rows(target / "eval" / RESULTS_FILE)} == {begun}
    assert json.loads((first / "run.json").read_text())["origin_run"] == ""
    record = json.loads((first / "run.json").read_text())
    assert record["recipe_digest"] == digest_of(recipe, seed="3")
    assert determined(recipe, **start, init_from=str(first))["model.origin"] == f"recipe {record['recipe_digest']}"
    names = [digest_of(recipe, **start, **{"model.name": str(folder / "best")}) for folder in (first, second)]
    assert names[0] != names[1]  # a folder of weights counts by content
    assert (record["status"], record["dev_cells"]["xnli/dev/en"]["chance"]) == (
        "done", majority_share(open_training_data(load_recipe(str(recipe)).data).dev["xnli/dev/en"]))


def test_a_run_begins_with_a_finished_one(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    origin = run(recipe, "origin")
    start = {"model.random": "null", "init_from": str(origin)}
    record = json.loads((origin / "run.json").read_text())
    capsys.readouterr()

    def says(name: str, **changes: object) -> str:
        (origin / "run.json").write_text(json.dumps(record | changes))
        run(recipe, name, start)
        return capsys.readouterr().err

    assert "warning: init_from" not in says("well", at_chance=False)
    assert f"warning: init_from: {origin} ended at chance on its dev cell" in says("chance", at_chance=True)
    (origin / "done.json").unlink()
    assert f"warning: init_from: {origin} diverged" in says("diverged", status="diverged")
    with pytest.raises(InputError, match=r"^init_from: .*origin is not a finished run \(no done.json\)[^\n]*$"):
        says("refused", status="running")
    assert not (recipe.parent / "runs/refused").exists()


def test_training_on_a_test_cell_is_said(
    recipe: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(recipe, "fair")
    assert "test cell" not in capsys.readouterr().err
    shutil.copytree(shards, tmp_path / "copy")
    write_random_cell(tmp_path / "copy", "xnli/test/en", 60)
    run(recipe, "unfair", {"data.shards": str(tmp_path / "copy"), "data.train": "[xnli/train/en,xnli/test/en]"})
    assert "warning: data.train: training on a test cell, xnli/test/en: " in capsys.readouterr().err


def test_chance_at_the_end_of_training_allows_for_the_choice_of_the_best(recipe: Path) -> None:
    """The best of ten guesses may reach 2.58 standard errors, a single one 1.645."""
    settings = load_recipe(str(recipe), {"schedule.max_steps": "20"})
    assert [evaluations_to_choose_from(settings, 20, done) for done in (1, 7, 20)] == [0, 3, 10]
    late = load_recipe(str(recipe), {"robust.method": "pgd", "robust.ramp_end": "0.5", "evaluation.every_steps": "3"})
    assert evaluations_to_choose_from(late, 10, 10) == 3
    data = open_training_data(settings.data)
    chance, rows = majority_share(data.dev["xnli/dev/en"]), len(data.dev["xnli/dev/en"])
    assert chance is not None
    error = (chance * (1 - chance) / rows) ** 0.5
    for share, update, expected in ((2.5, 20, True), (2.7, 20, False), (2.5, 2, False), (1.6, 2, True)):
        state = TrainState(step=update, selected={"cell": "xnli/dev/en", "value": chance + share * error})
        assert outcome(settings, state, data, None, 20)["at_chance"] is expected


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
