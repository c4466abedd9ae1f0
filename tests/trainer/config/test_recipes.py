"""Recipes that ship: their cells are ones that data preparation makes, and those of suites train as mixtures."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from data_prep.tasks import TASKS
from data_prep.tasks.suites import SUITES
from tests.random_cells import write_random_cell
from trainer.config import load_recipe
from trainer.config.load import shipped_recipes
from trainer.config.schema import EvaluationSection
from trainer.data.loader import open_training_data
from trainer.data.mixture import mixture_of
from trainer.evaluate.suites import SUITES as SCORED

HEADS = {
    "xtreme": "xnli pawsx udpos panx squad tydiqa", "xtreme_r": "xnli siqa udpos panx squad tydiqa",
    "xglue": "xnli pawsx xglue_ner xglue_pos nc squad qadsm wpr qam", "african": "xnli sib200 masakhaner2",
    "intermediate": "mnli qqp squad2 squad hellaswag cosmosqa commonsenseqa siqa copa"}
IN_SUITES = {(part.task, split, language) for parts in SUITES.values() for part in parts
             for split in part.splits for language in part.languages}


@pytest.mark.parametrize("name", shipped_recipes())
def test_cells_are_ones_that_data_preparation_makes(name: str) -> None:
    data = load_recipe(name).data
    for cell in [*data.train, *data.dev, *[data.select_on] * bool(data.select_on)]:
        task, split, language = cell.split("/")
        declared = TASKS[task.partition("+")[0]]
        assert split == ("train" if cell in data.train else "dev")
        known = (declared.name, split, language) in IN_SUITES
        assert language == "*" or language in declared.languages or known, cell
        assert known or name not in SUITES, cell


def test_every_suite_has_a_recipe() -> None:
    assert SUITES.keys() == HEADS.keys()
    assert shipped_recipes().keys() >= SUITES.keys()
    assert {name for name in SUITES if load_recipe(name).evaluation.suite == name} == SCORED.keys()
    assert {*get_args(get_args(EvaluationSection.model_fields["suite"].annotation)[0])} == SCORED.keys()


@pytest.mark.parametrize("name", HEADS)
def test_a_suite_trains_as_a_mixture_of_its_tasks(tmp_path: Path, name: str) -> None:
    recipe = load_recipe(name, {"data.shards": str(tmp_path)})
    for cell in [*recipe.data.train, *recipe.data.dev]:
        write_random_cell(tmp_path, cell, 40, kind=TASKS[cell.partition("/")[0]].kind)
    data = open_training_data(recipe.data, recipe.mixture)
    mixture = mixture_of(recipe.mixture, recipe.batch, data.tasks, recipe.seed)
    assert mixture is not None
    assert " ".join(mixture.tasks) == HEADS[name]
    assert data.dev.keys() == set(recipe.data.dev)
    assert data.task == recipe.data.train[0].partition("/")[0]  # the head that `best/` holds
