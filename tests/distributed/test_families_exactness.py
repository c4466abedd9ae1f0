"""Rule 1 for every encoder family: plain, pgd and smart at two sites equal the plain loop over transformers' own
forward pass, at ZeRO 0, 2 and 3, on one rank and on two.

Each pair of method, stage, ranks and site occurs once or more; `test_exactness.py` has the rest, for XLM-R.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.distributed.test_exactness import RTOL, Case, Runs, largest_error, run_on_ranks, write_recipes
from tests.encoder_sites import NOT_CHECKPOINTED
from tests.random_cells import PLAIN, TYPED
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
    """(case that trains the start, the family's runs) below `root`, with token types where the family has any."""
    types = FAMILIES[name].token_types(FAMILIES[name].random_config("tiny", 60, 24, pad_id=1)) or 0
    folder = root / name
    folder.mkdir()
    start, recipe = write_recipes(
        folder, f"family: {name}, random: tiny", TYPED if types > 1 else PLAIN, updates=UPDATES)
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


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("name", FAMILIES)
def test_parameters_equal_the_plain_loop(runs: dict[str, Runs], name: str, case: Case) -> None:
    runs[name].check_parameters(fitting(name, case))


@pytest.mark.parametrize("name", FAMILIES)
def test_methods_and_training_move_the_parameters(runs: dict[str, Runs], name: str) -> None:
    """The comparison could not fail if methods made no difference or training stood still."""
    one = runs[name]
    found = [one.oracle(case)[0] for case in {case.oracle: case for case in CASES}.values()]
    found.append(load_file(one.folder / "start" / "best" / "model.safetensors"))
    for this, other in combinations(found, 2):
        assert largest_error(this, other) > 30 * RTOL


def test_each_pair_occurs() -> None:
    aspects = [(case.method, case.site if case.method != "plain" else "", case.stage, case.world) for case in CASES]
    for one, other in combinations(range(4), 2):
        found = {(aspect[one], aspect[other]) for aspect in aspects if aspect[1]}
        assert len(found) == len({pair[0] for pair in found}) * len({pair[1] for pair in found})
    assert {(case.method, case.stage) for case in CASES} == {
        (method, stage) for method in ("plain", "pgd", "smart") for stage in (0, 2, 3)}
