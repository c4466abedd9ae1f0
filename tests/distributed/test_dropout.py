"""What an update depends on besides the recipe: without dropout on nothing, with it on ranks and micro-batches.

Dropout masks are drawn per rank and micro-batch, one after the other, so runs that differ in these draw other masks of
the same distribution; runs that do not are the same bit for bit, and the ZeRO stage has no part in it.
"""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from tests.distributed.test_exactness import largest_error, run_on_ranks
from tests.random_cells import write_random_cell

pytestmark = pytest.mark.timeout(600)
ROUNDING = 1e-5  # of a tensor's largest entry, as in the comparison with the plain loop
DROPPED = {"model.dropout": "0.1"}
SHARED = DROPPED | {"robust.shared_dropout": "true"}
# name -> (ranks, settings); each is compared with the first of its dropout.
CASES: dict[str, tuple[int, dict[str, str]]] = {
    "without": (1, {}),
    "without, micro": (1, {"batch.micro_batch_size": "2"}),
    "without, 2 ranks": (2, {}),
    "with": (1, DROPPED),
    "with, again": (1, DROPPED),
    "with, zero2": (1, DROPPED | {"engine.config": "zero2"}),
    "with, zero3": (1, DROPPED | {"engine.config": "zero3"}),
    "with, micro": (1, DROPPED | {"batch.micro_batch_size": "2"}),
    "with, micro again": (1, DROPPED | {"batch.micro_batch_size": "2"}),
    "with, 2 ranks": (2, DROPPED),
    "with, 2 ranks again": (2, DROPPED),
    "shared": (1, SHARED),
    "shared, again": (1, SHARED),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, torch.Tensor]]:
    """The weights after ten updates of pgd, by case."""
    root = tmp_path_factory.mktemp("dropout")
    write_random_cell(root / "shards", "xnli/train/en", 60)
    recipe = root / "dropout.yaml"
    recipe.write_text(
        f"output: {root / 'runs'}\nseed: 7\ndata: {{shards: {root / 'shards'}, train: [xnli/train/en]}}\n"
        "model: {random: tiny, dropout: 0.0}\nbatch: {size: 8}\noptimizer: {name: sgd, lr: 0.1}\n"
        "schedule: {max_steps: 10}\nevaluation: {every_steps: 100}\ncheckpoint: {every_steps: 100}\n"
        "robust: {method: pgd, ascent_steps: 2, clean_weight: 1.0, epsilon: 1.0}\n", encoding="utf-8")
    names = {case: f"case{number}" for number, case in enumerate(CASES)}
    for world in (1, 2):
        cases: list[list[object]] = [[str(recipe), settings | {"name": names[case]}, None]
                                     for case, (ranks, settings) in CASES.items() if ranks == world]
        run_on_ranks(world, cases, root / f"cases-{world}.json")
    return {case: load_file(root / "runs" / name / "best" / "model.safetensors") for case, name in names.items()}


@pytest.mark.parametrize(("one", "other"), [("with", "with, again"), ("with, micro", "with, micro again"),
                                            ("with, 2 ranks", "with, 2 ranks again"), ("shared", "shared, again")])
def test_with_dropout_the_same_ranks_and_micro_batches_give_the_same_bits(
    weights: dict[str, dict[str, torch.Tensor]], one: str, other: str
) -> None:
    for key, value in weights[one].items():
        assert torch.equal(value, weights[other][key]), key


@pytest.mark.parametrize("other", ["micro", "2 ranks"])
def test_without_dropout_ranks_and_micro_batches_change_rounding_only(
    weights: dict[str, dict[str, torch.Tensor]], other: str
) -> None:
    error = largest_error(weights[f"without, {other}"], weights["without"])
    print(f"without dropout, {other}: {error:.1e}")
    assert error <= ROUNDING


@pytest.mark.parametrize("stage", ["zero2", "zero3"])
def test_with_dropout_the_zero_stage_changes_rounding_only(
    weights: dict[str, dict[str, torch.Tensor]], stage: str
) -> None:
    assert largest_error(weights[f"with, {stage}"], weights["with"]) <= ROUNDING


@pytest.mark.parametrize("other", ["micro", "2 ranks"])
def test_with_dropout_ranks_and_micro_batches_draw_other_masks(
    weights: dict[str, dict[str, torch.Tensor]], other: str
) -> None:
    """As far apart as runs without dropout are from runs with it: masks, not rounding; and no further than that."""
    error = largest_error(weights[f"with, {other}"], weights["with"])
    noise = largest_error(weights["without"], weights["with"])
    print(f"with dropout, {other}: {error:.1e}; with against without dropout: {noise:.1e}")
    assert 100 * ROUNDING < error < 3 * noise


def test_shared_masks_make_another_run(weights: dict[str, dict[str, torch.Tensor]]) -> None:
    assert largest_error(weights["shared"], weights["with"]) > 100 * ROUNDING
