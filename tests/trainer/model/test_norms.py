"""The mean norm at the site counts content tokens, or whole examples, of a fixed sample, without dropout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from data_prep.base.errors import InputError
from data_prep.shards.read import open_cell
from tests.trainer.small_runs import write_recipe
from trainer.config import load_recipe
from trainer.data.loader import Examples
from trainer.kinds import KINDS
from trainer.model.build import build_model
from trainer.model.norms import measure_site_norm
from trainer.model.site import SiteModel
from trainer.robust.pgd import PGD


@pytest.mark.parametrize("scope", ["token", "sequence"])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_mean_is_over_clean_balls(shards: Path, tmp_path: Path, norm: str, scope: str) -> None:
    cell = open_cell(shards / "xnli/train/en")
    settings = load_recipe(str(write_recipe(tmp_path, shards)), {"model.dropout": "0.5"})
    model = SiteModel(build_model(settings, cell.manifest, 24)[0], KINDS["pair"], "layer:1").train()
    examples = Examples([cell], 24)
    found = measure_site_norm(model, {examples: 1.0}, PGD(norm=norm, scope=scope), 7, 0, torch.device("cpu"))
    assert model.training
    sizes = []
    for row in range(len(examples)):
        batch = examples[0, np.array([row])]
        x_LH = model.eval()(batch, only_below=True)[0][batch.content_mask[0]].detach()
        balls = x_LH if scope == "token" else x_LH.reshape(1, -1)
        sizes += balls.norm(dim=1, p=2 if norm == "l2" else float("inf")).tolist()
    assert found == pytest.approx(sum(sizes) / len(sizes), rel=1e-5)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_a_mean_that_is_no_unit_is_refused(shards: Path, tmp_path: Path, value: float) -> None:
    cell = open_cell(shards / "xnli/train/en")
    model = build_model(load_recipe(str(write_recipe(tmp_path, shards))), cell.manifest, 24)[0]
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(value)
    site_model = SiteModel(model, KINDS["pair"], "word_embeddings")
    with pytest.raises(InputError, match=r"mean norm at word_embeddings is (0|nan|inf), expected a positive number"):
        measure_site_norm(site_model, {Examples([cell], 24): 1.0}, PGD(), 7, 0, torch.device("cpu"))
