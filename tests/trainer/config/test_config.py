"""Recipes: defaults, a YAML file, dotted overrides; one clear line for everything that is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from data_prep.base.errors import InputError
from trainer.config import Recipe, load_recipe
from trainer.config.load import RECIPES, dump, known_keys
from trainer.robust import METHODS

MINIMAL = "data: {train: [xnli/train/en]}\nmodel: {random: tiny}\nschedule: {max_steps: 5}\n"
PGD = {"robust.method": "pgd"}


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(MINIMAL, encoding="utf-8")
    return str(path)


def sections(model: type[BaseModel]) -> list[type[BaseModel]]:
    inner = [field.annotation for field in model.model_fields.values()
             if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)]
    return [model, *inner, *(method.settings for method in METHODS.values())]


@pytest.mark.parametrize("section", sections(Recipe), ids=lambda section: section.__name__)
def test_every_setting_is_described(section: type[BaseModel]) -> None:
    undescribed = [name for name, field in section.model_fields.items()
                   if not field.description and not (isinstance(field.annotation, type)
                                                     and issubclass(field.annotation, BaseModel))]
    assert not undescribed
    assert section.model_config["extra"] == "forbid"
    assert section.__doc__


def test_overrides_go_on_top_and_the_rest_is_default(recipe: str) -> None:
    found = load_recipe(recipe, {"optimizer.lr": "1e-5", "robust.method": "pgd", "data.dev": "[a/dev/en, a/dev/de]",
                                 "optimizer.max_grad_norm": "null", "robust.relative": "false", "seed": "3"})
    assert (found.optimizer.lr, found.robust.method, found.data.dev) == (1e-5, "pgd", ["a/dev/en", "a/dev/de"])
    assert found.optimizer.max_grad_norm is None
    assert found.robust.relative is False
    assert found.optimizer.beta2 == 0.999
    assert found.schedule.max_steps == 5
    assert found.label == "pgd"


def test_lists_and_mappings_are_typed_with_commas(recipe: str) -> None:
    found = load_recipe(recipe, {
        "data.train": "mnli/train/en,snli/train/en", "data.dev": "xnli/dev/*", "mixture.sampling": "weights",
        "mixture.weights": "mnli=3, snli=0.5", "mixture.same_task": "xnli=mnli", "label": "one, two"})
    assert found.data.train == ["mnli/train/en", "snli/train/en"]
    assert found.data.dev == ["xnli/dev/*"]
    assert (found.mixture.weights, found.mixture.same_task) == ({"mnli": 3.0, "snli": 0.5}, {"xnli": "mnli"})
    assert found.label == "one, two"  # no key for a list
    assert load_recipe(recipe, {"data.dev": "null", "mixture.weights": "null"}).data.dev == []
    assert load_recipe(recipe, {"data.train": "[mnli/train/en, snli/train/en]"}).data.train == found.data.train


@pytest.mark.parametrize(("method", "steps", "start", "start_radius"), [
    ("pgd", 3, "zero", 1.0), ("freelb", 3, "uniform", 1.0), ("smart", 1, "gaussian", 0.1),
    ("trades", 1, "gaussian", 0.1)])
def test_steps_and_start_default_to_what_suits_the_method(
    recipe: str, method: str, steps: int, start: str, start_radius: float
) -> None:
    robust = load_recipe(recipe, {"robust.method": method}).robust
    assert (robust.ascent_steps, robust.start, robust.start_radius) == (steps, start, start_radius)
    assert robust.step_length == (1.0 if steps == 1 else 2.5 / 3)
    given = {"robust.ascent_steps": "2", "robust.start_radius": "0.5"}
    robust = load_recipe(recipe, {"robust.method": method, **given}).robust
    assert (robust.ascent_steps, robust.start_radius, robust.step_length) == (2, 0.5, 1.25)


@pytest.mark.parametrize("method", METHODS)
def test_a_dump_holds_all_settings_of_the_method_and_no_others(recipe: str, method: str) -> None:
    written = yaml.safe_load(dump(load_recipe(recipe, {"robust.method": method})))["robust"]
    assert set(written) == set(METHODS[method].settings.model_fields)
    assert written["method"] == method


def test_the_default_label_is_that_of_the_method_that_runs(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(MINIMAL + "robust: {method: pgd}\n", encoding="utf-8")
    assert load_recipe(str(path)).label == "pgd"
    assert load_recipe(str(path), {"robust.method": "smart"}).label == "smart"
    assert load_recipe(str(path), {"method": "trades"}).label == "trades"


def test_another_method_takes_the_settings_it_has_and_leaves_those_of_others(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(MINIMAL + "robust: {method: pgd, epsilon: 0.3, restarts: 2, start: uniform}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"unknown key 'robust.restarts' under robust.method smart: it belongs to pgd"):
        load_recipe(str(path), {"robust.method": "smart"})
    smart = load_recipe(str(path), {"robust.bregman_weight": "2", "method": "smart"}).robust
    assert (smart.method, smart.epsilon, smart.start, smart.bregman_weight) == ("smart", 0.3, "uniform", 2.0)
    assert load_recipe(str(path), {"method": "plain"}).robust == METHODS["plain"].settings()
    with pytest.raises(InputError, match=r"unknown key 'robust.epslion', did you mean 'robust.epsilon'"):
        load_recipe(str(path), {"robust.epslion": "1", "method": "plain"})
    with pytest.raises(InputError, match=r"--method and --robust.method: give only one"):
        load_recipe(str(path), {"robust.method": "smart", "method": "smart"})


@pytest.mark.parametrize("name", ["007", "1e5", "true", "2024-01-01", "1_000"])
def test_names_stay_as_they_were_typed(recipe: str, name: str) -> None:
    assert load_recipe(recipe, {"name": name}).name == name


def test_a_dump_loads_as_the_same_recipe(recipe: str, tmp_path: Path) -> None:
    found = load_recipe(recipe, {"optimizer.eps": "1e-8", "name": "007", "label": "ä: #1"})
    (tmp_path / "again.yaml").write_text(dump(found), encoding="utf-8")
    assert load_recipe(str(tmp_path / "again.yaml")) == found


@pytest.mark.parametrize(("overrides", "message"), [
    ({"robust.epslion": "0.5"}, "unknown key 'robust.epslion', did you mean 'robust.epsilon'?"),
    ({"robust.method": "pgd", "robust.bregman_weight": "0"},
     "unknown key 'robust.bregman_weight' under robust.method pgd: it belongs to smart; remove it"),
    ({"robust.epsilon": "0.5"}, "'robust.epsilon' under robust.method plain: it belongs to pgd, fgm, .*r3f; remove"),
    ({"robust": "5"}, "robust: expected a section, found '5'"),
    ({"lr": "0.5"}, "unknown key 'lr', did you mean 'optimizer.lr'?"),
    ({"optimizer.lr": "nan"}, "optimizer.lr: Input should be a finite number"),
    ({"optimizer.lr": "inf"}, "optimizer.lr: Input should be a finite number"),
    ({"optimizer.lr": "0"}, "optimizer.lr: .*greater than 0"),
    ({"batch.size": "8.5"}, "batch.size: .*integer"),
    ({"data.train": "[]"}, "data.train: .*at least 1 item"),
    ({"data.train": "xnli/train/en,"}, "--data.train: expected a list with commas between, a,b, found 'xnli/train"),
    ({"mixture.weights": "mnli"}, "--mixture.weights: expected a list with commas between, a=1,b=2, found 'mnli'"),
    ({"data.train": "[xnli"}, "--data.train: cannot read"),
    ({"robust.method": "pdg"}, "robust.method: .*'plain', 'pgd'"),
    ({**PGD, "robust.site": "layer:x"},
     "robust.site: expected word_embeddings, embeddings or layer:K, found 'layer:x'"),
    ({**PGD, "robust.ramp_start": "0.5", "robust.ramp_end": "0.2"}, "yaml: robust.ramp_end must not lie before"),
    ({**PGD, "robust.restarts": "2"}, "robust.restarts: several ascents need a random start"),
    ({"robust.method": "smart", "robust.start": "zero"}, "robust.start: .*'uniform' or 'gaussian', found 'zero'"),
    ({"robust.method": "freelb", "robust.ascent_steps": "1"}, "robust.ascent_steps: freelb .* at least 2, found 1"),
    ({**PGD, "robust.start_radius": "0"}, "robust.start_radius: .*greater than 0"),
    ({**PGD, "robust.start_radius": "1.01"}, "robust.start_radius: .*less than or equal to 1"),
    ({"checkpoint.keep": "1"}, "checkpoint.keep: .*greater than or equal to 2"),
    ({"name": "../elsewhere"}, "name: .*match pattern"),
    ({"name": ".hidden"}, "name: .*match pattern"),
    ({"seed": "-1"}, "seed: .*greater than or equal to 0"),
    ({"schedule.epochs": "2", "schedule.max_steps": "2"}, "--schedule.max_steps and --schedule.epochs exclude"),
    ({"schedule.max_steps": "null"}, "exactly one of schedule.max_steps and schedule.epochs"),
    ({"seed": "1", "seed.x": "1"}, "--seed.x: 'seed' is a value, not a section"),
    ({"model.random": "null"}, "exactly one of model.name, model.random, init_from; found none"),
    ({"init_from": "runs/a", "model.random": "tiny"}, "--model.random and --init_from exclude each other"),
    ({"model.name": "b", "model.random": "tiny"}, "--model.name and --model.random exclude each other"),
])
def test_what_is_wrong_is_said_in_one_line(recipe: str, overrides: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_recipe(recipe, overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "- a\n", "", "\x00"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.yaml") as caught:
        load_recipe(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_recipe_names_the_shipped_ones() -> None:
    with pytest.raises(InputError, match=r"no recipe 'nope'.*xnli_pgd"):
        load_recipe("nope")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_hold_differences_only(path: Path) -> None:
    recipe = load_recipe(path.stem)
    method = recipe.robust.method
    default = Recipe.model_validate({"model": {"random": "tiny"}, "data": {"train": ["a/b/c"]},
                                     "schedule": {"max_steps": 1}, "robust": {"method": method}})
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    for section, values in written.items():
        for key, value in values.items() if isinstance(values, dict) else ():
            assert key == "method" or value != getattr(getattr(default, section), key), f"{section}.{key} is a default"
    assert written.get("label") != method, "label is the default"
    assert recipe.name == f"{path.stem}-seed0"


def test_pgd_takes_three_steps_in_what_ships() -> None:
    assert load_recipe("xnli_pgd").robust.ascent_steps == 3


def test_recipes_that_are_compared_take_equally_many_updates() -> None:
    rows, size = 392_702, 32  # XNLI's English training set; the default batch
    shipped = [load_recipe(path.stem) for path in RECIPES.glob("xnli_*.yaml")]
    assert len(shipped) == 6
    assert {(recipe.schedule.max_steps, recipe.batch.size) for recipe in shipped} == {(2 * (rows // size), size)}


@pytest.mark.parametrize("path", RECIPES.glob("xnli_*.yaml"), ids=lambda path: path.stem)
def test_no_recipe_that_ships_starts_with_a_full_radius(path: Path) -> None:
    recipe = load_recipe(str(path))
    assert recipe.robust.method == "plain" or 0 < recipe.robust.ramp_start < recipe.robust.ramp_end


def test_recipes_are_read_and_runs_identified_without_torch() -> None:
    words = ("import sys; sys.modules['torch'] = None; import trainer.runs.identity; "
             "from trainer.config import load_recipe; load_recipe('xnli_pgd')")
    subprocess.run([sys.executable, "-c", words], check=True, timeout=60)


def test_the_keys_of_every_method_are_known() -> None:
    known = list(known_keys(Recipe))
    assert len(known) == len(set(known))
    for name, method in METHODS.items():
        assert {f"robust.{key}" for key in method.settings.model_fields} <= set(known)
        assert method.settings().method == name
