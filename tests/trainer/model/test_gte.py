"""GTE: variants of config.json against transformers' own model, weights as first published, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.models.gte.modeling_gte import GteRotaryEmbedding

from data_prep.base.errors import InputError
from data_prep.shards.manifest import Manifest
from data_prep.shards.read import open_cell
from tests.trainer.model.test_eurobert import check, write
from tests.trainer.small_runs import run, weights_of
from trainer.config import load_recipe
from trainer.model.build import build_model
from trainer.model.pretrained import read_config

NAME = "gte"


@pytest.fixture
def manifest(shards: Path) -> Manifest:
    return open_cell(shards / "xnli/train/en").manifest


@pytest.mark.parametrize("site", ["word_embeddings", "embeddings", "layer:2"])
@pytest.mark.parametrize("changes", [
    {"type_vocab_size": 0}, {"type_vocab_size": 2}, {"rope_parameters": None, "rope_theta": 500},
    {"rope_parameters": {"rope_type": "linear", "factor": 8 ** (2 / 16), "rope_theta": 160000.0}},
    {"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 3.0}, "rope_theta": 500.0},
], ids=str)
def test_every_variant_equals_transformers(tmp_path: Path, changes: dict[str, Any], site: str) -> None:
    check(write(tmp_path, NAME, **changes), site)


def test_static_ntk_frequencies_are_linear_ones(tmp_path: Path) -> None:
    """The first code multiplied theta by the factor s, and divided the frequencies by s^(2/d)."""
    theta, s, d = 20000.0, 8.0, 16
    config = read_config(str(write(tmp_path, NAME, rope_parameters={
        "rope_type": "linear", "factor": s ** (2 / d), "rope_theta": theta * s})), "model.name")
    expected = torch.tensor([(theta * s) ** (-2 * i / d) / s ** (2 / d) for i in range(d // 2)])
    torch.testing.assert_close(GteRotaryEmbedding(config).inv_freq, expected)


@pytest.mark.parametrize(("changes", "message"), [
    ({"rope_scaling": {"type": "ntk", "factor": 8.0}}, "rope_scaling.type: .*found 'ntk'"),
    ({"position_embedding_type": "absolute"}, "position_embedding_type"), ({"layer_norm_type": "rms_norm"}, "layer_n"),
    ({"logn_attention_scale": True}, "logn_attention_scale"), ({"num_attention_heads": 64}, "heads of odd width"),
    ({"type_vocab_size": -1}, "type_vocab_size"), ({"pad_token_id": 90}, "padding 90"),
    ({"model_type": "new", "auto_map": {"AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel"}},
     "is a model of type 'new'; this trainer takes .*gte.*; a model's own code is never run, look for a checkpoint"),
], ids=str)
def test_settings_out_of_bounds(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_config(str(write(tmp_path, NAME, **changes)), "model.name")
    assert "\n" not in str(caught.value)


def as_published(model: Any, folder: Path, prefix: str, **changes: Any) -> Path:
    """`model` under the names of the first code, queries, keys and values packed; without `prefix`, no head."""
    model.save_pretrained(folder)  # transformers packs and renames, but for the prefix
    old = load_file(folder / "model.safetensors")
    assert any("qkv_proj" in name for name in old)
    save_file({name.replace("gte.", prefix, 1): value for name, value in old.items()
               if prefix or name.startswith("gte.")}, folder / "model.safetensors", {"format": "pt"})
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(content | changes), encoding="utf-8")
    return folder


def build(recipe: Path, manifest: Manifest, **overrides: str) -> tuple[Any, dict[str, Any]]:
    return build_model(load_recipe(str(recipe), {"model.random": "null", **overrides}), manifest, 24)


@pytest.fixture
def model(recipe: Path, manifest: Manifest) -> Any:
    return build(recipe, manifest, **{"model.family": NAME, "model.random": "tiny"})[0]


@pytest.mark.parametrize("prefix", ["new.", "", "gte."])
def test_weights_as_first_published(recipe: Path, manifest: Manifest, model: Any, tmp_path: Path, prefix: str) -> None:
    folder = str(as_published(model, tmp_path / "model", prefix))
    found, origin = build(recipe, manifest, **{"model.name": folder})
    for name, value in model.base_model.state_dict().items():
        assert torch.equal(found.base_model.state_dict()[name], value), name
    assert origin["dropped_keys"] == []
    assert origin["new_keys"] == ([] if prefix else ["classifier.bias", "classifier.weight"])


@pytest.mark.parametrize(("changes", "message"), [
    ({"num_hidden_layers": 3}, r"layers\.2\.mlp\.down_proj\.weight: missing, expected shape"),
    ({"num_hidden_layers": 1}, r"encoder weights .* have no place .* e\.g\. .*layers\.1\."),
    ({"vocab_size": 70}, r"word_embeddings\.weight: shape \(60, 64\), expected shape \(70, 64\)"),
    ({"intermediate_size": 2**18}, r"down_proj\.weight: shape \(64, 128\), expected"),
], ids=str)
def test_a_configuration_that_old_weights_contradict(recipe: Path, manifest: Manifest, model: Any, tmp_path: Path,
                                                     changes: dict[str, Any], message: str) -> None:
    folder = str(as_published(model, tmp_path / "model", "new.", **changes))
    with pytest.raises(InputError, match=message):
        build(recipe, manifest, **{"model.name": folder})


def test_runs_keep_the_names_of_transformers(recipe: Path, manifest: Manifest, model: Any, tmp_path: Path) -> None:
    """Also of a model that came under older ones; so a run can start from it."""
    old = str(as_published(model, tmp_path / "model", "new."))
    first = run(recipe, "first", {"model.name": old, "model.random": "null", "schedule.max_steps": "2"})
    assert weights_of(first).keys() == model.state_dict().keys()
    found, origin = build(recipe, manifest, init_from=str(first))
    assert origin["encoder_keys"] == len(model.base_model.state_dict())
    for name, value in found.base_model.state_dict(prefix="gte.").items():
        assert torch.equal(value, weights_of(first)[name]), name
