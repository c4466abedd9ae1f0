"""Rule 1 for several tasks in one run, against the plain loop of `tests/oracle.py`: weights after AdamW's updates.

The plain loop holds a whole model per task and adds up the gradients of their encoders. The whole matrix:

    python -m pytest tests/distributed/test_mixture_exactness.py -m full -rP
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file

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
from tests.random_cells import write_random_cell
from trainer.config import load_recipe
from trainer.runs.folder import HEADS

pytestmark = pytest.mark.timeout(3000)

OTHER = {"tagging": "udpos/train/en", "mlm": "text/train/en"}  # beside the pairs of xnli
BATCH = 8


@dataclass(frozen=True)
class Mixed(Case):
    """A case whose variant is the kind of the second task."""

    parts: int = 2

    def __str__(self) -> str:
        return f"{super().__str__()}-p{self.parts}"

    def overrides(self) -> dict[str, str]:
        offloaded = self.variant.endswith("-offload")
        other = self.variant.removesuffix("-offload")
        return super().overrides() | {
            "engine.config": f"zero{self.stage}" + ("_offload" if offloaded else ""),
            # Adam's first steps are signs of gradients, of which rounding decides where they are nearly zero.
            "optimizer.eps": "0.001", "seed": "4",  # which draws both tasks, in turn
            "data.train": f"[xnli/train/en, {OTHER[other]}]", "mixture.sampling": "uniform",
            "mixture.tasks_per_step": str(self.parts), "mixture.loss_weights": "{xnli: 2.0}",
            "batch.micro_batch_size": str(BATCH // self.parts // self.world // self.accumulation)}

    @property
    def oracle(self) -> Case:
        return Mixed(self.method, self.site, 0, 1, 1, self.optimizer, self.variant.removesuffix("-offload"), self.parts)


def mixed(method: str, other: str, stage: int, world: int = 2, accumulation: int = 1, parts: int = 2) -> Mixed:
    return Mixed(method, "word_embeddings", stage, world, accumulation, "adamw", other, parts)


SUBSET = [
    mixed("plain", "tagging", 0, parts=1), mixed("pgd", "tagging", 2, accumulation=2), mixed("pgd", "mlm", 3),
    mixed("plain", "tagging-offload", 2),
]
FAULT, HARMED = "heads_without_a_gradient", SUBSET[-1]
MATRIX = [mixed(method, other, stage, world, accumulation, parts) for method in ("plain", "pgd", "freelb")
          for other in OTHER for stage in range(4) for world in (1, 2) for accumulation in (1, 2) for parts in (1, 2)]
MATRIX += [mixed(method, f"{other}-offload", stage) for method in ("plain", "freelb") for other in OTHER
           for stage in (2, 3)]


class MixedRuns(Runs):
    """Runs of two tasks."""

    def oracle(self, case: Case) -> tuple[dict[str, torch.Tensor], list[float]]:
        if case.oracle not in self._oracles:
            recipe = load_recipe(str(self.recipe_file), case.oracle.overrides())
            self._oracles[case.oracle] = oracle.train_mixture(recipe)
        return self._oracles[case.oracle]

    def parameters(self, case: Case) -> dict[str, torch.Tensor]:
        return self.weights(str(case))

    def weights(self, run: str) -> dict[str, torch.Tensor]:
        """Under the oracle's names; weights that are tied appear once."""
        best = self.folder / run / "best"
        found = {name if name.startswith("roberta.") else f"xnli: {name}": weight
                 for name, weight in load_file(best / "model.safetensors").items()}
        (head,) = (best / HEADS).iterdir()
        return found | {f"{head.name}: {name}": weight
                        for name, weight in load_file(head / "model.safetensors").items()}

    def error(self, case: Case) -> float:
        expected, losses = self.oracle(case)
        found = self.parameters(case)
        assert found.keys() == expected.keys()
        error, of_losses = largest_error(found, expected), relative_error(self.losses(case), losses)
        print(f"{case}: largest relative error {error:.1e}, of losses {of_losses:.1e}")
        return max(error, of_losses)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> MixedRuns:
    root = tmp_path_factory.mktemp("mixture")
    start, path = write_recipes(root, "random: tiny", updates=6)
    write_random_cell(root / "shards", "text/train/en", 40, kind="mlm")
    run_on_ranks(1, [start], root / "start.json")
    return MixedRuns(path)


@pytest.fixture(scope="module")
def subset(runs: MixedRuns) -> MixedRuns:
    """The subset on two ranks, and behind it the fault."""
    words = [runs.words(case) for case in SUBSET]
    planted = [str(runs.recipe_file), {**HARMED.overrides(), **runs.engine_config(HARMED), "name": FAULT}, FAULT]
    run_on_ranks(2, [*words, planted], runs.recipe_file.with_name("subset.json"))
    return runs


@pytest.fixture(scope="module")
def matrix(runs: MixedRuns) -> MixedRuns:
    runs.train(list(MATRIX))
    return runs


@pytest.mark.parametrize("case", SUBSET, ids=str)
def test_two_tasks_equal_the_plain_loop(subset: MixedRuns, case: Mixed) -> None:
    assert subset.error(case) <= RTOL


def test_a_planted_fault_is_caught(subset: MixedRuns) -> None:
    expected, _ = subset.oracle(HARMED)
    assert largest_error(subset.weights(FAULT), expected) > 30 * RTOL


@pytest.mark.full
@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_the_whole_matrix_of_two_tasks_equals_the_plain_loop(matrix: MixedRuns, case: Mixed) -> None:
    assert matrix.error(case) <= RTOL


def test_tasks_and_training_move_the_parameters(runs: MixedRuns) -> None:
    """The comparison could not fail if every update drew one task, or training stood still."""
    recipe = load_recipe(str(runs.recipe_file), SUBSET[0].overrides())
    assert len({tuple(oracle.tasks_of(recipe, [60, 60], update)) for update in range(6)}) > 1
    one, other = (runs.oracle(mixed("plain", "tagging", 0, parts=parts))[0] for parts in (1, 2))
    assert largest_error(one, other) > 30 * RTOL
