"""Heads that published masked language models are stored with: loaded where they fit, dropped with a word elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM

from data_prep.base.errors import InputError
from data_prep.shards.manifest import Manifest
from data_prep.shards.read import open_cell
from tests.trainer.small_runs import TEXT
from trainer.config import load_recipe
from trainer.model.build import build_model
from trainer.model.encoders import FAMILIES


def build(recipe: Path, shards: Path, kind: str, folder: Path | None = None, **overrides: str) -> Any:
    """(model, origin) for the pair cell or, of kind mlm, the text cell."""
    manifest: Manifest = open_cell(shards / ("text" if kind == "mlm" else "xnli") / "train/en").manifest
    given = {"model.random": "null", "model.name": str(folder)} if folder is not None else {}
    cells = TEXT if kind == "mlm" else {}
    return build_model(load_recipe(str(recipe), {**given, **cells, **overrides}), manifest, 24)


def saved(folder: Path, name: str, **settings: Any) -> Any:
    """A random masked language model in `folder`."""
    model = AutoModelForMaskedLM.from_config(FAMILIES[name].random_config("tiny", 60, 24, pad_id=1, **settings))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model


def test_deberta_as_its_authors_store_it(recipe: Path, shards: Path, tmp_path: Path) -> None:
    """Two heads, of both of its pre-training tasks, and a config.json without a word on them."""
    model = saved(tmp_path, "deberta-v2", legacy=False)
    weights = load_file(tmp_path / "model.safetensors")
    discriminator = {f"mask_predictions.{name}": torch.randn(64, 64) for name in ("dense.weight", "classifier.weight")}
    save_file(weights | discriminator, tmp_path / "model.safetensors", {"format": "pt"})
    content = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    del content["legacy"]
    (tmp_path / "config.json").write_text(json.dumps(content), encoding="utf-8")
    words, origin = build(recipe, shards, "mlm", tmp_path)
    assert origin["new_keys"] == []
    for name, value in model.state_dict().items():
        assert torch.equal(words.state_dict()[name], value), name
    pairs, origin = build(recipe, shards, "pair", tmp_path)
    assert {*origin["new_keys"]} == {f"{layer}.{part}" for layer in ("pooler.dense", "classifier")
                                     for part in ("weight", "bias")}
    assert {*origin["dropped_keys"]} == {*discriminator, *(key for key in weights if not key.startswith("deberta."))}
    assert torch.equal(pairs.deberta.encoder.rel_embeddings.weight, weights["deberta.encoder.rel_embeddings.weight"])


def test_deberta_as_early_releases_of_transformers_stored_it(recipe: Path, shards: Path, tmp_path: Path) -> None:
    """A masked language model of their own, and a config.json without a word on it."""
    model = saved(tmp_path, "deberta-v2", legacy=True)
    content = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    del content["legacy"]
    (tmp_path / "config.json").write_text(json.dumps(content), encoding="utf-8")
    words, origin = build(recipe, shards, "mlm", tmp_path)
    assert origin["new_keys"] == origin["dropped_keys"] == []
    for name, value in model.state_dict().items():
        assert torch.equal(words.state_dict()[name], value), name


def test_modernbert_keeps_the_dense_layer_of_its_head(recipe: Path, shards: Path, tmp_path: Path) -> None:
    model = saved(tmp_path, "modernbert")
    assert "decoder.weight" not in load_file(tmp_path / "model.safetensors"), "tied"
    words, origin = build(recipe, shards, "mlm", tmp_path)
    assert origin["new_keys"] == []
    assert words.decoder.weight is words.model.embeddings.tok_embeddings.weight
    pairs, origin = build(recipe, shards, "pair", tmp_path)
    assert origin["new_keys"] == ["classifier.bias", "classifier.weight"]
    assert origin["dropped_keys"] == ["decoder.bias"]
    assert torch.equal(pairs.head.dense.weight, model.head.dense.weight)


@pytest.mark.parametrize("name", FAMILIES)
def test_word_embeddings_can_be_frozen(recipe: Path, shards: Path, name: str) -> None:
    model, _ = build(recipe, shards, "pair", **{"model.family": name, "model.freeze_word_embeddings": "true"})
    frozen = [key for key, value in model.named_parameters() if not value.requires_grad]
    (table,) = (key for key, value in model.named_parameters() if value is model.get_input_embeddings().weight)
    assert frozen == [table]
    assert model.get_parameter(table).shape == (60, 64)


def test_a_refused_precision(recipe: Path, shards: Path) -> None:
    given = {"model.family": "deberta-v2", "engine.config": "zero1"}
    build(recipe, shards, "pair", **given, **{"engine.precision": "bf16"})
    with pytest.raises(InputError, match=r"engine\.precision fp16: deberta-v2 overflows; choose another"):
        build(recipe, shards, "pair", **given, **{"engine.precision": "fp16"})
