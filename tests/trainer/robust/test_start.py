"""Where an ascent on a divergence starts: from the sphere, one step leaves half of the perturbation random."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from data_prep.shards.read import open_cell
from tests.trainer.small_runs import run, write_recipe
from trainer.config import load_recipe
from trainer.data.loader import Examples
from trainer.engine.step_context import StepContext
from trainer.kernels import reference
from trainer.kinds import KINDS
from trainer.model.build import build_model
from trainer.model.site import SiteModel
from trainer.robust import METHODS

EPSILON, DRAWS, ROWS = 0.1, 5, 60  # epsilon as a share of the mean norm


@pytest.fixture(scope="module")
def model(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> SiteModel:
    """A tiny model that has learnt a little: a fresh one predicts the same whatever it sees."""
    recipe = write_recipe(tmp_path_factory.mktemp("start"), shards)
    folder = run(recipe, "start", {"schedule.max_steps": "40", "optimizer.lr": "0.003", "model.dropout": "0.0",
                                   "checkpoint.every_steps": "100", "evaluation.every_steps": "100"})
    found = load_recipe(str(recipe), {"model.random": "null", "model.name": str(folder / "best")})
    return SiteModel(build_model(found, open_cell(shards / "xnli/train/en").manifest, 24)[0], KINDS["pair"],
                     "word_embeddings").eval()


def divergence(model: SiteModel, shards: Path, method: str, **settings: Any) -> float:
    """The divergence at the point that one step found, summed over all rows and some draws of the start."""
    batch = Examples([open_cell(shards / "xnli/train/en")], 24)[0, np.arange(ROWS)]
    norm = float(model(batch, only_below=True)[batch.content_mask].norm(dim=-1).mean().detach())

    class Engine(SimpleNamespace):
        def __call__(self, *inputs: Any) -> Any:
            return model(*inputs)

    engine: Any = Engine(module=model, loss_scale=1.0, ranks=SimpleNamespace(world_size=1),
                         backward=lambda loss, last: None)
    metrics = (METHODS[method].step(StepContext(
        engine, reference, METHODS[method].settings(**settings), batch, epsilon=EPSILON * norm, seed=0,
        step=draw, global_weight=ROWS, ends_step=True)) for draw in range(DRAWS))
    return sum(float(each["smoothness"][0]) for each in metrics)


@pytest.mark.parametrize("method", ["smart", "trades"])
def test_the_default_start_finds_as_much_as_any_and_the_sphere_does_not(
    model: SiteModel, shards: Path, method: str
) -> None:
    best = max(divergence(model, shards, method, start_radius=radius) for radius in (0.3, 0.03, 0.01, 0.001))
    default, sphere = (divergence(model, shards, method, **settings) for settings in ({}, {"start_radius": 1.0}))
    print(f"{method}: of the best of four radii, {default / best:.2f} by default, {sphere / best:.2f} from the sphere")
    assert default > 0.95 * best
    assert sphere < 0.8 * best
