"""A run's folder: new, partial or done; never two recipes in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.base.errors import InputError
from tests.trainer.small_runs import tree_of
from trainer.config import Recipe, load_recipe
from trainer.runs import folder as run_dir


@pytest.fixture
def settings(recipe: Path) -> Recipe:
    return load_recipe(str(recipe), {"name": "here"})


def test_from_new_to_done(settings: Recipe) -> None:
    assert run_dir.inspect(settings) == "new"
    assert not run_dir.run_dir_of(settings).exists()  # looking writes nothing
    folder = run_dir.create(settings)
    assert load_recipe(str(folder / run_dir.CONFIG)) == settings
    assert run_dir.inspect(settings) == "partial"
    before = tree_of(folder)
    run_dir.create(settings)
    assert tree_of(folder) == before
    (folder / run_dir.DONE).write_text("{}")
    assert run_dir.inspect(settings) == "done"


@pytest.mark.parametrize("change", [{"seed": "8"}, {"optimizer.lr": "0.5"}, {"robust.method": "pgd"},
                                    {"data.max_length": "16"}])
def test_another_recipe_is_refused(recipe: Path, settings: Recipe, change: dict[str, str]) -> None:
    run_dir.create(settings)
    with pytest.raises(InputError, match=f"another recipe .*{next(iter(change))}"):
        run_dir.inspect(load_recipe(str(recipe), {"name": "here", **change}))


@pytest.mark.parametrize("change", [{"logging.every_steps": "5"}, {"checkpoint.keep": "3"}, {"data.workers": "1"},
                                    {"data.verify": "none"}, {"data.shards": "moved"}])
def test_how_a_run_executes_may_change_between_its_lives(recipe: Path, settings: Recipe,
                                                        change: dict[str, str]) -> None:
    run_dir.create(settings)
    assert run_dir.inspect(load_recipe(str(recipe), {"name": "here", **change})) == "partial"


def test_what_is_no_run_is_left_alone(settings: Recipe) -> None:
    folder = run_dir.run_dir_of(settings)
    folder.mkdir(parents=True)
    assert run_dir.inspect(settings) == "new"  # an empty folder is as good as none
    (folder / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match=r"exists and holds no config\.yaml"):
        run_dir.inspect(settings)


def test_a_file_in_the_way_is_refused(settings: Recipe) -> None:
    folder = run_dir.run_dir_of(settings)
    folder.parent.mkdir(parents=True)
    folder.write_text("x")
    with pytest.raises(InputError, match="is a file"):
        run_dir.inspect(settings)


def test_a_file_in_place_of_the_output_folder_is_refused(recipe: Path) -> None:
    with pytest.raises(InputError, match="is a file"):
        run_dir.inspect(load_recipe(str(recipe), {"output": str(recipe)}))
