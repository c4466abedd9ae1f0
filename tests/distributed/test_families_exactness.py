"""Rule 1 for every encoder family: plain, pgd and smart at two sites equal the plain loop over transformers' own
forward pass, at ZeRO 0, 2 and 3, on one rank and on two.

Each pair of method, stage, ranks and site occurs once or more; `test_exactness.py` has the rest, for XLM-R.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests import oracle
from tests.distributed.test_exactness import (
    RTOL,
    Case,
    Runs,
    largest_error,
    relative_error,
    run_on_ranks,
    write_recipes,
)
from tests.encoder_sites import NOT_CHECKPOINTED, template_of
from trainer.config import load_recipe
from trainer.model.encoders import FAMILIES

pytestmark = pytest.mark.timeout(1200)  # all families train before the first test
UPDATES = 4
CASES = [Case(method, site, stage, world, accumulation, "sgd", variant)
         for method, site, stage, world, accumulation, variant in (
             ("plain", "word_embeddings", 0, 1, 1, ""),
             ("plain", "word_embeddings", 2, 2, 2, ""),
             ("plain", "word_embeddings", 3, 2, 1, ""),
             ("pgd", "word_embeddings", 0, 2, 1, ""),
             ("pgd", "layer:1", 2, 1, 4, ""),
             ("pgd", "word_embeddings", 3, 1, 1, "checkpointing"),
             ("smart", "layer:1", 0, 2, 2, ""),
             ("smart", "word_embeddings", 2, 1, 1, ""),
             ("smart", "layer:1", 3, 2, 1, ""))]


def prepare(root: Path, name: str) -> tuple[list[object], Runs]:
    """(case that trains the start, the family's runs) below `root`."""
    folder = root / name
    folder.mkdir()
    start, recipe = write_recipes(folder, f"family: {name}, random: tiny", template_of(name), updates=UPDATES)
    return start, Runs(recipe)


def fitting(name: str, case: Case) -> Case:
    """The case, without gradient checkpointing where transformers has none."""
    return replace(case, variant="") if name in NOT_CHECKPOINTED and case.variant == "checkpointing" else case


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runs]:
    """All cases of all families, trained in one start per number of ranks."""
    root = tmp_path_factory.mktemp("families")
    prepared = {name: prepare(root, name) for name in FAMILIES}
    run_on_ranks(1, [start for start, _ in prepared.values()], root / "starts.json")
    found = {name: family for name, (_, family) in prepared.items()}
    for world in (1, 2):
        words = [family.words(fitting(name, case)) for name, family in found.items() for case in CASES
                 if case.world == world]
        run_on_ranks(world, words, root / f"cases-{world}.json")
    return found


def rounding(family: Runs, case: Case) -> float:
    """Error of the plain loop itself from starts whose weights were changed in the last digit; the largest of three.

    A token of which the divergence has almost no gradient goes where rounding says: some case of smart at layer 1
    meets one, of DeBERTa at this radius, of ModernBERT and EuroBERT at others.
    """
    expected, losses = family.oracle(case)
    start, errors = family.folder / "start" / "best", []
    for seed in range(3):
        changed = family.folder / f"changed-{seed}"
        shutil.copytree(start, changed, dirs_exist_ok=True)
        generator = torch.Generator().manual_seed(seed)
        weights = {key: value * (1 + 2**-24 * torch.randn(value.shape, generator=generator))
                   for key, value in load_file(start / "model.safetensors").items()}
        save_file(weights, changed / "model.safetensors", metadata={"format": "pt"})
        found, other = oracle.train(load_recipe(
            str(family.recipe_file), case.oracle.overrides() | {"model.name": str(changed)}))
        errors += [largest_error(found, expected), relative_error(other, losses)]
    return max(errors)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("name", FAMILIES)
def test_parameters_equal_the_plain_loop(runs: dict[str, Runs], name: str, case: Case) -> None:
    family, case = runs[name], fitting(name, case)
    error = family.error(case)
    assert error <= RTOL or error <= min(3 * rounding(family, case), 10 * RTOL)


@pytest.mark.parametrize("name", FAMILIES)
def test_methods_and_training_move_the_parameters(runs: dict[str, Runs], name: str) -> None:
    """The comparison could not fail if methods made no difference or training stood still."""
    one = runs[name]
    found = [one.oracle(case)[0] for case in {case.oracle for case in CASES}]
    found.append(load_file(one.folder / "start" / "best" / "model.safetensors"))
    for this, other in combinations(found, 2):
        assert largest_error(this, other) > 30 * RTOL


def test_each_pair_occurs() -> None:
    aspects = [(case.method, case.site if case.method != "plain" else "", case.stage, case.world) for case in CASES]
    for one, other in combinations(range(4), 2):
        found = {(aspect[one], aspect[other]) for aspect in aspects if aspect[1] or 1 not in (one, other)}
        assert len(found) == len({pair[0] for pair in found}) * len({pair[1] for pair in found})
    assert {case.method for case in CASES} == {"plain", "pgd", "smart"}
    assert {case.stage for case in CASES} == {0, 2, 3}
