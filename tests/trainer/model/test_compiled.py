"""Compiled layers: the losses of the same training without, in a bounded number of compilations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from data_prep.base.errors import InputError
from tests.trainer.small_runs import PGD, ZERO3, losses_of, run, weights_of, write_cells, write_recipe

SGD = {"model.dropout": "0", "optimizer.name": "sgd", "optimizer.lr": "0.1"}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("compiled")
    write_cells(root / "shards")
    return write_recipe(root / "work", root / "shards")


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, PGD, {"engine.config": "zero2"}], ids=["plain", "pgd", "zero2"])
def test_losses_are_those_of_the_layers_as_they_are(
    recipe: Path, settings: dict[str, str], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = run(recipe, f"{name}-compiled", {**SGD, **settings, "engine.compile": "true"})
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    plain = run(recipe, name, {**SGD, **settings})
    assert losses_of(compiled) == pytest.approx(losses_of(plain), rel=1e-5)
    for key, weight in weights_of(plain).items():
        torch.testing.assert_close(weights_of(compiled)[key], weight, rtol=1e-4, atol=1e-5, msg=key)
    assert 0 < graphs <= 8


@pytest.mark.slow
def test_dropout_stays_within_a_compiled_layer(recipe: Path) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    run(recipe, "dropout", {**SGD, "model.dropout": "0.1", "engine.compile": "true"})
    assert 0 < torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 16
    assert not torch._dynamo.utils.counters["graph_break"]


def test_zero_3_is_refused(recipe: Path) -> None:
    with pytest.raises(InputError, match=r"engine\.compile: not at ZeRO 3"):
        run(recipe, "refused", {**ZERO3, "engine.compile": "true"})
