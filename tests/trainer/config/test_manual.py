"""Listings of recipes and keys: complete, and true to what a recipe takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.base.errors import InputError
from trainer.config import Recipe, load_recipe
from trainer.config.load import RECIPES, known_keys, nearest_keys
from trainer.config.manual import NEEDED, all_keys, keys, recipes
from trainer.robust import METHODS

KEYS = {key.name: key for key in all_keys()}
SECTIONS = {name.rpartition(".")[0] for name in known_keys(Recipe)} - {""}


def test_every_key_has_one_entry_with_a_meaning() -> None:
    assert len(KEYS) == len(list(all_keys()))
    assert KEYS.keys() == set(known_keys(Recipe)) - SECTIONS
    assert all(len(key.meaning) > 10 and "None" not in key.meaning for key in KEYS.values())


def test_a_default_that_is_typed_changes_nothing(tmp_path: Path) -> None:
    """Oracle: the loader. `name` has no default of its own, and of the origins and lengths one must be given."""
    path = tmp_path / "mine.yaml"
    path.write_text("data: {train: [xnli/train/en]}\nmodel: {random: tiny}\nschedule: {max_steps: 5}\n",
                    encoding="utf-8")
    own = {"name", "label", "model.random", "schedule.max_steps"}
    for method in METHODS:
        bare = load_recipe(str(path), {"robust.method": method})
        its = {f"robust.{leaf}" for leaf in METHODS[method].settings.model_fields} - {"robust.method"}
        for key in KEYS.values() if method == "plain" else [KEYS[name] for name in its]:
            foreign = key.name.startswith("robust.") and key.name not in its
            if key.name in own or key.default in (NEEDED, "empty") or foreign:
                continue
            ours = [one for one in key.default.split("), ") if f"({method}" in one or f", {method}" in one]
            default = (ours or [key.default])[0].split(" (")[0]
            assert load_recipe(str(path), {"robust.method": method, key.name: default}) == bare, key


@pytest.mark.parametrize(("name", "values", "default"), [
    ("optimizer.lr", "number > 0 and <= 1e6", "2e-5"),
    ("seed", "whole number >= 0 and < 2^63", "0"),
    ("data.train", "list with commas between", NEEDED),
    ("data.dev", "list with commas between", "empty"),
    ("engine.precision", "one of fp32, bf16, fp16", "fp32"),
    ("optimizer.max_grad_norm", "number > 0 and <= 1e6 or null", "1"),
    ("mixture.same_task", "NAME=text, with commas between", "empty"),
    ("optimizer.fused", "true or false", "true"),
    ("robust.ascent_steps", "whole number >= 1 and <= 1000", "3 (pgd, freelb), 1 (smart, trades)"),
])
def test_ranges_and_defaults_in_words(name: str, values: str, default: str) -> None:
    assert (KEYS[name].values, KEYS[name].default) == (values, default)


def test_keys_lists_those_that_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    def listed(*pattern: str) -> list[str]:
        keys(*pattern)
        return [line.partition(":")[0] for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]

    assert listed() == list(KEYS)
    assert listed("lr") == ["optimizer.lr"]
    assert listed("optimizer.beta?") == ["optimizer.beta1", "optimizer.beta2"]
    assert listed("robust", "ascent") == ["robust.ascent_steps", "robust.ascent_step_size"]
    assert "evaluation.patience_evaluations" in listed("early stopping")  # in its meaning only
    with pytest.raises(InputError, match=r"no key has 'optimiser.lr' .*did you mean 'optimizer.lr'"):
        keys("optimiser.lr")


def test_recipes_lists_one_a_line_and_shows_one(capsys: pytest.CaptureFixture[str]) -> None:
    recipes()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(path.stem for path in RECIPES.glob("*.yaml"))
    assert all(line.endswith(".") and len(line) <= 120 and "#" not in line for line in lines)
    recipes("xnli_pgd")
    assert capsys.readouterr().out == (RECIPES / "xnli_pgd.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(("typed", "meant"), [
    ("lr", ["optimizer.lr"]), ("epsilon", ["robust.epsilon"]), ("optimizer.learning_rate", ["optimizer.lr"]),
    ("batch-size", ["batch.size"]), ("num_train_epochs", ["schedule.epochs"]), ("robust.epslion", ["robust.epsilon"]),
    ("every_steps", ["evaluation.every_steps", "checkpoint.every_steps", "logging.every_steps"]),
    ("epsilno", ["robust.epsilon"]), ("zzz", []),
])
def test_short_and_foreign_forms_lead_to_keys(typed: str, meant: list[str]) -> None:
    assert nearest_keys(typed) == meant


def test_other_names_lead_to_keys_that_exist() -> None:
    from trainer.config.load import OTHER_NAMES

    assert set(OTHER_NAMES.values()) <= KEYS.keys()
    assert not OTHER_NAMES.keys() & KEYS.keys()
