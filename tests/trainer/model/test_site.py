"""The forward pass that can be cut at the site equals transformers' own, and delta enters where it should."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from data_prep.base.errors import InputError
from data_prep.shards.read import open_cell
from tests.random_cells import write_random_cell
from trainer.config import load_recipe
from trainer.data.loader import Examples
from trainer.kinds import KINDS, Masking
from trainer.kinds.batch import Batch
from trainer.model.build import build_model
from trainer.model.site import Site, SiteModel

CHECKED = ["pair", "mlm", "span_qa"]
"""Kinds with transformers' heads for sequences, words and spans; those of other kinds are among them, or in
`test_families`."""
SITES = ["word_embeddings", "embeddings", "layer:1", "layer:2"]


@pytest.fixture(scope="module")
def models(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Batch]]:
    """Per kind a tiny model in evaluation mode and a batch with much padding."""
    path = tmp_path_factory.mktemp("site") / "r.yaml"
    path.write_text("model: {random: tiny}\nschedule: {max_steps: 1}\ndata: {train: [a/b/c]}\n")
    found = {}
    cells = {"pair": shards / "xnli/train/en", "mlm": shards / "text/train/en"}
    for kind in CHECKED:
        cell = open_cell(cells.get(kind) or write_random_cell(path.parent, f"{kind}/train/en", 40, kind=kind))
        model, _ = build_model(load_recipe(str(path)), cell.manifest, 24)
        examples = Examples([cell], 24, masking=Masking(0.3, 0))
        batch = examples[0, np.argsort(examples.lengths)[[0, 1, -1, -2]]]
        assert (~batch.attention_mask).sum() > 5
        found[kind] = (model.eval(), batch)
    return found


def theirs(model: Any, batch: Batch, **inputs: Tensor) -> Tensor:
    """transformers' own logits from nothing but ids (or embeddings) and the mask."""
    given = inputs or {"input_ids": batch.input_ids}
    output = model(**given, attention_mask=batch.attention_mask.long())
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    logits: Tensor = output.logits
    return logits[batch.targets["labels"] != -100] if logits.dim() == 3 else logits


def site_model(model: Any, kind: str, site: str) -> SiteModel:
    return SiteModel(model, KINDS[kind], site).eval()


def expected_loss(expected: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy summed over predictions, of transformers' logits: over tokens, padding apart, where spans are
    found."""
    if "start" in batch.targets:
        return torch.stack([
            torch.nn.functional.cross_entropy(expected[row, real, end], batch.targets[("start", "end")[end]][row])
            for row, real in enumerate(batch.attention_mask) for end in (0, 1)]).sum()
    gold = batch.targets["labels"][batch.targets["labels"] != -100]
    return torch.nn.functional.cross_entropy(expected, gold, reduction="sum")


def loss(model: SiteModel, batch: Batch, *given: Tensor | None) -> Tensor:
    """The loss summed over the batch, of what a forward pass with `given` predicts."""
    return model.kind.losses(model(batch, *given), batch).sum()


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("kind", CHECKED)
def test_without_a_perturbation_it_is_transformers_own(models: Any, kind: str, site: str) -> None:
    model, batch = models[kind]
    ours = site_model(model, kind, site)
    logits = ours(batch)
    expected = theirs(model, batch)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.kind.losses(logits, batch).sum(), expected_loss(expected, batch))
    x = ours(batch, only_below=True)
    torch.testing.assert_close(ours(batch, None, x), logits, rtol=0, atol=0)
    torch.testing.assert_close(ours(batch, torch.zeros_like(x), x), logits, rtol=0, atol=0)


@contextmanager
def added(module: torch.nn.Module, delta: Tensor) -> Iterator[None]:
    """Within, the module's output is moved by delta: perturbation by a hook, independent of SiteModel."""
    handle = module.register_forward_hook(lambda _module, _inputs, output: (
        (output[0] + delta, *output[1:]) if isinstance(output, tuple) else output + delta))
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("kind", CHECKED)
def test_delta_is_added_at_the_site(models: Any, kind: str, site: str) -> None:
    model, batch = models[kind]
    ours = site_model(model, kind, site)
    module = {"word_embeddings": model.roberta.embeddings.word_embeddings, "embeddings": model.roberta.embeddings,
              "layer:1": model.roberta.encoder.layer[0], "layer:2": model.roberta.encoder.layer[1]}[site]
    delta = 0.1 * torch.randn(*batch.input_ids.shape, model.config.hidden_size) * batch.content_mask[..., None]
    with added(module, delta):
        expected = theirs(model, batch)
    logits = ours(batch, delta)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)
    if kind == "pair" and site == "layer:2":  # after the last layer only the first token counts, which is special
        torch.testing.assert_close(logits, ours(batch))
    else:
        assert (logits - ours(batch)).abs().max() > 1e-5


@pytest.mark.parametrize("site", SITES[:3])
def test_delta_on_one_example_moves_only_that_one(models: Any, site: str) -> None:
    model, batch = models["pair"]
    ours = site_model(model, "pair", site)
    delta = torch.zeros(*batch.input_ids.shape, model.config.hidden_size)
    delta[2, 1:3] = torch.randn(2, model.config.hidden_size)
    moved = (ours(batch, delta) - ours(batch)).abs().amax(dim=1)
    assert moved[2] > 1e-5
    assert moved[[0, 1, 3]].max() < 1e-7


@pytest.mark.parametrize("site", SITES[:3])
@pytest.mark.parametrize("kind", CHECKED)
def test_input_gradients_are_the_same_from_a_kept_site(models: Any, kind: str, site: str) -> None:
    model, batch = models[kind]
    ours = site_model(model, kind, site)
    x = ours(batch, only_below=True).detach()
    start = 0.1 * torch.randn_like(x)

    def gradient(x_BLH: Tensor | None) -> Tensor:
        delta = start.clone().requires_grad_(True)
        return torch.autograd.grad(loss(ours, batch, delta, x_BLH), delta)[0]

    torch.testing.assert_close(gradient(x), gradient(None), rtol=1e-5, atol=1e-7)
    assert gradient(x)[batch.content_mask].abs().max() > 0
    # numerically, along the gradient itself
    step = 1e-2 * gradient(None) / gradient(None).norm()
    with torch.no_grad():
        rise = loss(ours, batch, start + step) - loss(ours, batch, start - step)
    torch.testing.assert_close(rise / 2e-2, gradient(None).norm(), rtol=2e-2, atol=1e-4)


def test_the_update_reaches_the_layers_below_the_site_and_a_detached_site_does_not(models: Any) -> None:
    model, batch = models["pair"]
    ours = site_model(model, "pair", "layer:1")
    words, first = model.roberta.embeddings.word_embeddings.weight, model.roberta.encoder.layer[0].output.dense.weight
    x = ours(batch, only_below=True)
    assert all(g is not None for g in torch.autograd.grad(loss(ours, batch, None, x), [words, first]))
    assert torch.autograd.grad(loss(ours, batch, None, x.detach()), [words, first], allow_unused=True) == (None, None)


def test_sites_that_are_not_there() -> None:
    assert Site.parse("layer:2", 2) == Site("layer", 2)
    for text in ("layer:0", "layer:3"):
        with pytest.raises(InputError, match="layers 1 to 2"):
            Site.parse(text, 2)
