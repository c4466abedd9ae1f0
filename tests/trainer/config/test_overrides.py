"""Overrides: settings that they replace, with one line on each, and names of runs that carry them."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.base.errors import InputError
from tests.trainer.small_runs import run
from trainer.config import load_recipe
from trainer.robust import METHODS
from trainer.runs import folder as run_dir
from trainer.train import train

XLMR = "FacebookAI/xlm-roberta-large"


@pytest.mark.parametrize(("given", "origin", "line"), [
    ({"model.random": "tiny"}, (None, "tiny", None),
     f"--model.random tiny replaces model.name {XLMR}, model.revision main, model.head_seed 4 of the recipe"),
    ({"init_from": "runs/a"}, (None, None, "runs/a"),
     f"--init_from runs/a replaces model.name {XLMR}, model.revision main of the recipe"),
    ({"init_from": "runs/a", "model.name": "null", "model.revision": "null"}, (None, None, "runs/a"), ""),
    ({"model.name": "other"}, ("other", None, None), ""),
])
def test_an_origin_replaces_the_recipe_s(tmp_path: Path, given: dict[str, str], origin: tuple[str | None, ...],
                                         line: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"data: {{train: [xnli/train/en]}}\nmodel: {{name: {XLMR}, revision: main, head_seed: 4}}\n"
                    "schedule: {epochs: 3}\n", encoding="utf-8")
    found = load_recipe(str(path), given)
    assert (found.model.name, found.model.random, found.init_from) == origin
    assert capsys.readouterr().err == (f"{line}\n" if line else "")
    load_recipe(str(path), given, announce=False)
    assert capsys.readouterr().err == ""


def test_a_name_replaces_random_weights_and_their_family(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("data: {train: [xnli/train/en]}\nmodel: {random: tiny, family: bert}\nschedule: {max_steps: 3}\n",
                    encoding="utf-8")
    model = load_recipe(str(path), {"model.name": "mbert"}).model
    assert (model.name, model.random, model.family) == ("mbert", None, None)
    assert capsys.readouterr().err == ("--model.name mbert replaces model.random tiny, model.family bert of the "
                                       "recipe\n")


@pytest.mark.parametrize(("given", "length"), [
    ({"schedule.max_steps": "7"}, (7, None)), ({"schedule.updates": "7"}, (7, None)),
    ({"schedule.epochs": "7"}, (None, 7.0)), ({"schedule": "{epochs: 7}"}, (None, 7.0))])
@pytest.mark.parametrize("own", ["epochs: 3", "max_steps: 3"])
def test_a_length_replaces_the_recipe_s(tmp_path: Path, given: dict[str, str], length: tuple[object, object], own: str,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"data: {{train: [xnli/train/en]}}\nmodel: {{random: tiny}}\nschedule: {{{own}}}\n",
                    encoding="utf-8")
    schedule = load_recipe(str(path), given).schedule
    assert (schedule.max_steps, schedule.epochs) == length
    other = {"epochs": length[1], "max_steps": length[0]}[own.partition(":")[0]] is None
    assert ("replaces schedule." in capsys.readouterr().err) == (other and "schedule" not in given)


def test_both_lengths_or_origins_on_the_command_line_are_refused() -> None:
    with pytest.raises(InputError, match=r"--schedule.max_steps and --schedule.epochs exclude each other: give"):
        load_recipe("xnli_plain", {"schedule.max_steps": "7", "schedule.epochs": "1"})
    with pytest.raises(InputError, match=r"--model.name and --model.random exclude each other"):
        load_recipe("xnli_plain", {"model.name": "b", "model.random": "tiny"})


@pytest.mark.parametrize(("source", "given", "name"), [
    ("xnli_pgd", {}, "xnli_pgd-seed0"),
    ("xnli_pgd", {"seed": "3", "output": "there", "label": "x", "batch.micro_batch_size": "4", "data.shards": "s",
                  "logging.every_steps": "2", "engine.config": "zero1", "robust.epsilon": "0.1"}, "xnli_pgd-seed3"),
    ("xnli_pgd", {"robust.epsilon": "0.20", "optimizer.lr": "0.00002"}, "xnli_pgd-lr_2e-5-epsilon_0.2-seed0"),
    ("xnli_pgd", {"optimizer.lr": "2e-5", "robust": "{method: pgd, epsilon: 0.2, clean_weight: 1, ramp_start: 0.1, "
                                                    "ramp_end: 0.5}"}, "xnli_pgd-lr_2e-5-epsilon_0.2-seed0"),
    ("xnli_pgd", {"method": "smart"}, "xnli_pgd-smart-seed0"),
    ("xnli_pgd", {"method": "smart", "robust.bregman_weight": "1"}, "xnli_pgd-smart-bregman_weight_1-seed0"),
    ("xnli_plain", {"robust.method": "pgd"}, "xnli_plain-pgd-seed0"),
    ("xnli_plain", {"model.name": "FacebookAI/xlm-roberta-base"}, "xnli_plain-xlm-roberta-base-seed0"),
    ("xnli_plain", {"init_from": "runs/mnli-seed1/"}, "xnli_plain-from_mnli-seed1-seed0"),
    ("xnli_plain", {"optimizer.fused": "false", "optimizer.max_grad_norm": "null"},
     "xnli_plain-no_fused-max_grad_norm_null-seed0"),
    ("xnli_plain", {"data.train": "mnli/train/*,snli/train/en"}, "xnli_plain-train_mnli_train+snli_train_en-seed0"),
    ("xnli_plain", {"schedule.updates": "9"}, "xnli_plain-max_steps_9-seed0"),
    ("xnli_plain", {"robust.method": "pgd", "name": "mine"}, "mine"),
])
def test_names_carry_what_changes_the_recipe(source: str, given: dict[str, str], name: str) -> None:
    assert load_recipe(source, given, announce=False).name == name


def test_a_name_does_not_depend_on_the_order_of_the_flags() -> None:
    given = {"robust.epsilon": "0.2", "optimizer.lr": "1e-6", "data.dev": "xnli/dev/en"}
    names = {load_recipe("xnli_pgd", dict(order)).name for order in (given.items(), reversed(given.items()))}
    assert len(names) == 1


def test_long_names_are_hashed_and_stay_apart() -> None:
    names = {load_recipe("xnli_pgd", {"data.train": ",".join(f"task{n}/train/{language}" for n in range(40))}).name
             for language in ("en", "de")}
    assert len(names) == 2
    assert all(name and len(name) < 40 for name in names)


def test_a_recipe_that_needs_its_overrides_is_named_by_them(tmp_path: Path) -> None:
    path = tmp_path / "part.yaml"
    path.write_text("data: {train: [xnli/train/en]}\nschedule: {max_steps: 3}\n", encoding="utf-8")
    assert load_recipe(str(path), {"model.random": "tiny"}).name == "part-random_tiny-seed0"


@pytest.mark.parametrize("source", ["xnli_plain", "xnli_pgd", "xtreme"])
def test_every_method_has_a_name_of_its_own(source: str) -> None:
    names = {method: load_recipe(source, {"method": method}).name for method in METHODS}
    assert len(set(names.values())) == len(METHODS)
    assert names[load_recipe(source).robust.method] == f"{source}-seed0"


def test_two_radii_are_two_runs_and_each_is_found_again(recipe: Path) -> None:
    for epsilon in ("0.1", "0.2"):
        for _ in range(2):
            assert train(str(recipe), **{"robust.method": "pgd", "robust.epsilon": epsilon, "schedule.max_steps": "2"},
                         ) == 0
    found = sorted(path.name for path in (recipe.parent / "runs").glob("small-*"))
    assert found == ["small-max_steps_2-pgd-epsilon_0.2-seed7", "small-max_steps_2-pgd-seed7"]


def test_a_run_that_began_under_the_bare_name_goes_on_there(recipe: Path) -> None:
    begun = run(recipe, "small-seed7", {"optimizer.lr": "0.002", "schedule.max_steps": "1"})
    given = {"optimizer.lr": "0.002", "schedule.max_steps": "1"}
    settings = load_recipe(str(recipe), given)
    assert settings.name == "small-lr_0.002-max_steps_1-seed7"
    assert run_dir.run_dir_of(run_dir.as_begun(settings, str(recipe))) == begun
    other = load_recipe(str(recipe), {"optimizer.lr": "0.003", "schedule.max_steps": "1"})
    assert run_dir.as_begun(other, str(recipe)) == other
