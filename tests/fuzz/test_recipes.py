"""Recipes with wrong types, absurd numbers, hostile YAML, and origins that lead back to themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from data_prep.shards.manifest import read_manifest
from tests.fuzz.budget import fuzzed
from tests.fuzz.damage import accepted, damaged_bytes, damaged_tree, run_command, scratch
from tests.random_cells import write_random_cell
from tests.run_records import record_of
from tests.trainer.small_runs import launcher_variables_kept, tree_of
from trainer.__main__ import main
from trainer.config import Recipe, load_recipe
from trainer.config.load import dump, known_keys
from trainer.config.schema import Section
from trainer.data.loader import Examples, open_training_data
from trainer.data.sampler import steps_per_epoch
from trainer.evaluate.smoothing import read_settings
from trainer.kinds import KINDS
from trainer.model.build import build_model
from trainer.model.site import SiteModel
from trainer.robust.settings import site_of
from trainer.runs import folder as run_dir

GOOD: dict[str, Any] = {
    "name": "small", "label": "plain", "output": "runs", "seed": 7, "init_from": None,
    "data": {"shards": "shards", "train": ["xnli/train/en"], "dev": ["xnli/dev/en"], "max_length": 16, "pad_to": 24,
             "workers": 0, "select_on": "xnli/dev/en", "mask_ratio": 0.1},
    "model": {"random": "tiny", "name": None, "dropout": 0.1}, "batch": {"size": 8, "micro_batch_size": 4},
    "optimizer": {"lr": 0.001, "weight_decay": 0.0, "beta1": 0.9, "max_grad_norm": 1.0},
    "schedule": {"max_steps": 10, "epochs": None, "warmup_ratio": 0.1}, "logging": {"every_steps": 1},
    "evaluation": {"every_steps": 2, "batch_size": 8}, "checkpoint": {"every_steps": 3, "keep": 2},
    "kernels": "reference",
    "robust": {"method": "pgd", "ascent_steps": 2, "epsilon": 0.1, "site": "embeddings", "ramp_end": 0.5},
    "engine": {"config": "zero0", "precision": "fp32"},
}
BOMB = "name: [&a [x, x, x, x, x, x, x, x], " + ", ".join(
    f"&{new} [{', '.join([f'*{old}'] * 8)}]" for old, new in zip("abcdefghi", "bcdefghij", strict=True)) + "]"
HOSTILE = [
    "", "[]", "5", "a", "name: [", "name: &a [*a]", "data: &d {train: *d}", BOMB, "a: *nothing",
    "<<: {name: a}", "[" * 100_000, "{a: " * 50_000, "- " * 20_000, "? " * 20_000, "name: " + "x" * 100_000,
    "seed: " + "9" * 10_000,
    "seed: 0b", "seed: 0x", "seed: 1:99:99", "seed: 0o9", "lr: 1_", "name: 2020-99-99", "name: 2020-01-01T99:99:99Z",
    "name: 2020-01-01", "!!python/object/apply:os.system [echo]", "name: !!python/name:os.system", "name: !!float x",
    "name: !!binary '*'", "!!python/object/new:type {}", "name: !!timestamp x", "seed: !!int x", "name: !!null x",
    "name: !!bool x", "!!set {a, b}", "!!omap []", "name: \"\\ud800\"", "name: \"\\0\"", "output: \"a\\0b\"", "1: 2",
    "null: 1", "[1]: 2", "{}: 1", "seed: 1\nseed: 2", "%YAML 9.9\n---\nname: a", "--- a\n--- b", "\x00",
    "\ufeffname: a",
    "name:\t- a", "seed: .nan", "optimizer: {lr: 1e400}", "optimizer: {lr: 1.0e+400}", "optimizer: {lr: .inf}",
    "seed: true", "seed: -1", "batch: -1", "init_from: \"a\\0b\"", "output: ''", "output: \"" + "x" * 5000 + "\"",
    "name: \"" + "x" * 300 + "\"", "robust: {site: \"layer:" + "9" * 5000 + "\"}",
]


def write(folder: Path, content: bytes) -> Path:
    file = folder / "recipe.yaml"
    file.write_bytes(content)
    return file


def check(folder: Path, content: bytes) -> Recipe | None:
    """Read a recipe as `train` does up to its first side effect; what is taken survives being written and read."""
    file = write(folder, content)
    recipe = accepted(lambda: load_recipe(str(file)))
    if recipe is None:
        return None
    text = dump(recipe)
    assert len(text) < 200_000
    assert load_recipe(str(write(folder, text.encode()))) == recipe
    accepted(lambda: run_dir.inspect(recipe))
    data = accepted(lambda: open_training_data(recipe.data))
    if data is not None and not recipe.model.name:
        accepted(lambda: steps_per_epoch(len(data.train[0]), recipe.batch.size))
        built = accepted(lambda: build_model(recipe, data.manifest, data.max_length))
        if built is not None:
            accepted(lambda: SiteModel(built[0], KINDS[data.manifest.kind], site_of(recipe.robust)))
        accepted(lambda: Examples(data.train, data.max_length, recipe.data.pad_to)[0, np.arange(4)])
    return recipe


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the cells that GOOD names."""
    place = tmp_path_factory.mktemp("recipes")
    for cell in ("xnli/train/en", "xnli/dev/en"):
        write_random_cell(place / "shards", cell, 12)
    return place


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def test_the_sound_recipe_is_taken(tmp_path: Path) -> None:
    assert check(tmp_path, yaml.safe_dump(GOOD).encode()) == Recipe.model_validate(GOOD)


@pytest.mark.parametrize("content", HOSTILE, ids=lambda text: text[:30].encode("unicode_escape").decode())
def test_hostile_yaml(place: Path, tmp_path: Path, content: str) -> None:
    """Alone, below a sound recipe, and through the command line."""
    for text in (content, f"{yaml.safe_dump(GOOD)}\n{content}"):
        encoded = text.encode("utf-8", "surrogatepass")
        check(tmp_path, encoded)
        before = tree_of(place)
        with launcher_variables_kept():
            assert run_command(main, ["train", str(write(tmp_path, encoded)), "--data.train", "[none/none/none]"]) == 2
        assert tree_of(place) == before


@fuzzed(250)
@given(damaged_tree(GOOD))
@example(GOOD | {"name": "x" * 300})
@example(GOOD | {"label": ""})
@example(GOOD | {"label": "a\nb"})
@example(GOOD | {"output": "a\0b"})
@example(GOOD | {"schedule": {"epochs": 1e300}})
@example(GOOD | {"schedule": {"max_steps": 10**30}})
@example(GOOD | {"data": GOOD["data"] | {"pad_to": 8}})
@example(GOOD | {"data": GOOD["data"] | {"pad_to": 10**12}})
@example(GOOD | {"batch": {"size": True}})
def test_damaged_recipes(tree: Any) -> None:
    with scratch() as folder:
        recipe = check(folder, yaml.safe_dump(tree).encode("utf-8", "surrogatepass"))
    if recipe is not None:
        assert_no_bool_became_a_number(tree, recipe)
        updates = recipe.schedule.max_steps or recipe.schedule.epochs or 0
        assert 0 < updates <= 10**9


def assert_no_bool_became_a_number(tree: Any, section: Section) -> None:
    for name, value in section:
        if isinstance(value, Section):
            assert_no_bool_became_a_number(tree.get(name) or {}, value)
        else:
            assert not isinstance(tree.get(name), bool) or isinstance(value, bool), name


@fuzzed(150)
@given(damaged_bytes(yaml.safe_dump(GOOD).encode()))
def test_damaged_text(content: bytes) -> None:
    with scratch() as folder:
        check(folder, content)


WORDS = st.sampled_from(["", "[", "{", "[[", "{a: &a [*a]}", "[*a]", "null", "~", "nan", "inf", "1e400", "-1",
                         "9" * 5000,
                         "[1, [2]]", "{a: 1}", "true", "../..", "a\nb", "[" * 999, "!!python/object/apply:os.system []",
                         "[2020-99-99]", "[0x]", "x" * 5000]) | st.text(max_size=6)
KEYS = st.sampled_from([*known_keys(Recipe), "", ".", "a.b.c", "data..train", "data.train.x", "name.x"])


@fuzzed(200)
@given(st.dictionaries(KEYS, WORDS, max_size=3))
def test_overrides_as_typed(given_words: dict[str, str]) -> None:
    with scratch() as folder:
        file = write(folder, yaml.safe_dump(GOOD).encode())
        accepted(lambda: load_recipe(str(file), given_words))
        accepted(lambda: read_settings({f"smoothing.{key}": word for key, word in given_words.items()}, folder))


@pytest.mark.parametrize("source", ["", ".", "/", "..", "a\0b", "x" * 5000, "../recipes/xnli_plain", "xnli_plain\n"])
def test_names_of_recipes(source: str) -> None:
    assert accepted(lambda: load_recipe(source)) is None


def finished_run(folder: Path, init_from: str | None) -> None:
    """As much of a finished run as an origin is checked for before its weights are read."""
    (folder / "best").mkdir(parents=True)
    (folder / "best" / "config.json").write_text("{}")
    (folder / "run.json").write_text(json.dumps(record_of()))
    (folder / "config.yaml").write_text(yaml.safe_dump({"init_from": init_from}))


@pytest.mark.parametrize(("name", "origins"), [
    ("own", {"own": "own"}), ("own", {"own": "a", "a": "own"}), ("own", {"own": "a", "a": "b", "b": "a"}),
    ("own", {"own": "a", "a": "b", "b": "../{runs}/own"})])
def test_origins_that_lead_back(tmp_path: Path, name: str, origins: dict[str, str]) -> None:
    runs = tmp_path / "runs"
    paths = {run: str(runs / origin.format(runs="runs")) for run, origin in origins.items()}
    for run in origins:
        if run != name:
            finished_run(runs / run, paths[run])
    recipe = Recipe.model_validate(GOOD | {"name": name, "output": str(runs), "model": {}, "init_from": paths[name]})
    if origins == {name: name}:
        finished_run(runs / name, None)
    with pytest.raises(Exception, match="starts from itself"):
        build_model(recipe, read_manifest("shards/xnli/train/en"), 16)
