"""Old names of recipe keys: one warning names the new ones, both at once is an error, and old runs go on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import yaml

from data_prep.base.errors import InputError
from tests.trainer.small_runs import metrics_of, run, tree_of
from trainer.config import Recipe, load_recipe
from trainer.config.load import dump, known_keys
from trainer.config.renamed import RENAMED
from trainer.robust import METHODS
from trainer.runs import folder as run_dir

OLD = """data: {train: [xnli/train/en], mask_share: 0.2}
model: {random: tiny}
schedule: {updates: 5, warmup_share: 0.3}
batch: {micro_size: 4}
optimizer: {clip_norm: 2.0}
logging: {every: 7}
evaluation: {every: 8, patience: 9}
checkpoint: {every: 6}
engine: {skips_allowed: 3}
robust: {method: pgd, steps: 2, step_size: 0.7}
"""


def with_old_keys(recipe: Recipe) -> str:
    """`recipe` as an earlier release wrote it."""
    tree = yaml.safe_load(dump(recipe))
    of_all = {key: field.default for method in METHODS.values() for key, field in method.settings.model_fields.items()}
    tree["robust"] = {**of_all, **tree["robust"]} | {"start": None, "noise": "uniform", "ascent_step_size": None}
    for old, new in RENAMED.items():
        section, leaf = old.split(".")
        tree[section][leaf] = tree[section].pop(new.split(".")[1])
    return yaml.safe_dump(tree)


def digest_of_earlier_release(config: Path) -> str:
    """The hash in that run's checkpoints: of all settings but these."""
    tree = yaml.safe_load(config.read_text(encoding="utf-8"))
    for free in ("logging", "checkpoint", "output", "name"):
        del tree[free]
    for section, keys in {"data": ("workers", "verify", "shards"), "batch": ("micro_size",),
                          "engine": ("timeout_seconds", "skips_allowed", "config", "trim_vocabulary", "compile"),
                          "evaluation": ("suite",)}.items():  # later keys, which shape nothing
        for key in keys:
            del tree[section][key]
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]


def test_new_names_are_keys_and_old_ones_are_not() -> None:
    known = set(known_keys(Recipe))
    assert set(RENAMED.values()) <= known
    assert not known & RENAMED.keys()


def test_all_old_names_in_a_file_are_taken_with_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(OLD, encoding="utf-8")
    found = load_recipe(str(path))
    assert (found.schedule.max_steps, found.schedule.warmup_ratio, found.batch.micro_batch_size) == (5, 0.3, 4)
    assert (found.optimizer.max_grad_norm, found.data.mask_ratio, found.logging.every_steps) == (2.0, 0.2, 7)
    assert (found.evaluation.every_steps, found.evaluation.patience_evaluations) == (8, 9)
    assert (found.checkpoint.every_steps, found.engine.max_nonfinite_steps) == (6, 3)
    assert (found.robust.ascent_steps, found.robust.ascent_step_size) == (2, 0.7)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("warning: renamed recipe keys: ")
    assert all(f"{old} is now {new}" in said for old, new in RENAMED.items())
    load_recipe(str(path), announce=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("given", [{"schedule.updates": "7"}, {"schedule": "{updates: 7}"}])
def test_old_names_on_the_command_line_go_on_top(
    recipe: Path, given: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert load_recipe(str(recipe), given).schedule.max_steps == 7
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "schedule.updates is now schedule.max_steps;" in said
    load_recipe(str(recipe), {"schedule.max_steps": "7"})
    assert capsys.readouterr().err == ""


def test_old_and_new_name_at_once_is_an_error(recipe: Path, tmp_path: Path) -> None:
    words = r"schedule\.updates is the old name of schedule\.max_steps, found both; remove schedule\.updates"
    for given in ({"schedule.updates": "7", "schedule.max_steps": "7"}, {"schedule": "{updates: 7, max_steps: 7}"}):
        with pytest.raises(InputError, match=f"^command line: {words}$"):
            load_recipe(str(recipe), given)
    (tmp_path / "both.yaml").write_text(OLD.replace("updates: 5", "updates: 5, max_steps: 5"), encoding="utf-8")
    with pytest.raises(InputError, match=rf"both\.yaml: {words}$"):
        load_recipe(str(tmp_path / "both.yaml"))


@pytest.mark.parametrize("method", ["plain", "smart"])
def test_a_run_that_began_under_old_names_goes_on(
    recipe: Path, shards: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    """Its config.yaml, with the settings of all methods, and its checkpoints, which carry a hash of that, are those of
    an earlier release."""
    whole = run(recipe, "whole", {"robust.method": method})
    folder = recipe.parent / "runs" / "old"
    settings = load_recipe(str(recipe), {"name": "old", "robust.method": method})
    folder.mkdir()
    (folder / run_dir.CONFIG).write_text(with_old_keys(settings), encoding="utf-8")
    assert run_dir.inspect(settings) == "partial"
    assert run_dir.digest(settings) == digest_of_earlier_release(folder / run_dir.CONFIG)
    before = tree_of(folder)
    run(recipe, "old", {"robust.method": method})
    assert before.items() <= tree_of(folder).items()
    assert metrics_of(folder) == metrics_of(whole)
    assert "renamed" not in capsys.readouterr().err


def test_null_still_means_the_method_s_default(tmp_path: Path) -> None:
    path = tmp_path / "null.yaml"
    path.write_text(OLD.replace("steps: 2", "steps: null, start: null, start_radius: null"), encoding="utf-8")
    robust = load_recipe(str(path), announce=False).robust
    assert robust.model_dump().items() >= {"ascent_steps": 3, "start": "zero", "start_radius": 1.0}.items()
