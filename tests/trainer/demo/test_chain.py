"""The demo's chain: what it refuses before it writes, what it resumes, and how a failing command is shown.

The chain as a whole runs in CI as the README's first command.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data_prep.errors import InputError
from trainer.config import load_recipe
from trainer.demo import chain
from trainer.demo.chain import METHODS, RECIPES, Stage, demo


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(InputError, match="holds no demo"):
        demo(out=str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_demo_of_another_seed_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text(json.dumps({"format": chain.FORMAT, "seed": 3}), encoding="utf-8")
    with pytest.raises(InputError, match="another --out"):
        demo(out=str(tmp_path), seed=4)


def test_methods_differ_in_the_method_only() -> None:
    """The comparison is fair: same data, same updates, same everything but `robust` and the label."""
    needed = {"init_from": "runs/intermediate"}
    plain, *others = (load_recipe(str(RECIPES / f"{name}.yaml"), needed).model_dump() for name in METHODS)
    assert [recipe["robust"]["method"] for recipe in (plain, *others)] == list(METHODS)
    for recipe in others:
        differing = {key for key in plain if plain[key] != recipe[key]}
        assert differing <= {"robust", "label", "name"}


def test_a_failing_command_is_named_with_its_log(tmp_path: Path) -> None:
    stage = Stage("", ((("data_prep", "build", "xnli"),), (("data_prep", "tasks"),)))
    message = r"`python -m data_prep build xnli` failed: error: .*missing source.*07\.1\.log"
    with pytest.raises(InputError, match=message):
        chain._run_branches(stage, tmp_path / "logs" / "07.log")
    assert "paraphrase" in (tmp_path / "logs" / "07.2.log").read_text(encoding="utf-8")
