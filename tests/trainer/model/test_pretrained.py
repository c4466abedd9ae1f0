"""Model folders in their several shapes: with and without a head, in one file and in several; and what none may do."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import XLMRobertaModel
from transformers.utils import logging

from data_prep.base.errors import InputError
from data_prep.shards.manifest import Manifest
from data_prep.shards.read import open_cell
from tests.trainer.model.hub import FIRST, offline
from trainer.checkpoint.best import write_transformers_folder
from trainer.config import load_recipe
from trainer.model.build import build_model

INDEX = "model.safetensors.index.json"
WORDS = "embeddings.word_embeddings.weight"


@pytest.fixture
def manifest(shards: Path) -> Manifest:
    return open_cell(shards / "xnli/train/en").manifest


@pytest.fixture
def full(recipe: Path, manifest: Manifest) -> Any:
    """A classifier of random weights."""
    return build_model(load_recipe(str(recipe), {"seed": "3"}), manifest, 24)[0]


def bare(full: Any) -> XLMRobertaModel:
    """Its encoder alone, with a pooler, as AutoModel has it."""
    encoder = XLMRobertaModel(full.config)
    encoder.load_state_dict(full.roberta.state_dict(), strict=False)
    return encoder


def build(recipe: Path, manifest: Manifest, folder: Path) -> tuple[Any, dict[str, Any]]:
    return build_model(load_recipe(str(recipe), {"model.random": "null", "model.name": str(folder)}), manifest, 24)


def parts(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    return folder


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("size", ["1GB", "40KB"])
def test_an_encoder_is_taken_in_every_shape(recipe: Path, manifest: Manifest, full: Any, tmp_path: Path, head: bool,
                                            size: str) -> None:
    (full if head else bare(full)).save_pretrained(tmp_path / "model", max_shard_size=size)
    assert (tmp_path / "model" / INDEX).is_file() == (size == "40KB")
    model, origin = build(recipe, manifest, tmp_path / "model")
    for key, value in full.roberta.state_dict().items():
        assert torch.equal(model.roberta.state_dict()[key], value), key
    if head:
        assert torch.equal(model.classifier.out_proj.weight, full.classifier.out_proj.weight)
        assert origin["dropped_keys"] == origin["new_keys"] == []
    else:
        assert origin["dropped_keys"] == ["pooler.dense.bias", "pooler.dense.weight"]
        assert origin["new_keys"] == [f"classifier.{layer}.{part}" for layer in ("dense", "out_proj")
                                      for part in ("bias", "weight")]


def test_no_progress_bar_tears_the_lines_of_training(
    recipe: Path, manifest: Manifest, full: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    """On a terminal too, where training prints its steps while the best model is saved."""
    logging.enable_progress_bar()  # as in a new process
    write_transformers_folder(full, full.state_dict(), None, tmp_path / "best")
    assert not logging.is_progress_bar_enabled()
    logging.enable_progress_bar()
    build_model(load_recipe(str(recipe), {"model.name": str(tmp_path / "best"), "model.random": "null"}), manifest, 24)
    assert not logging.is_progress_bar_enabled()
    assert "it/s" not in capsys.readouterr().err


def test_an_encoder_alone_is_taken_for_masked_words(recipe: Path, shards: Path, full: Any, tmp_path: Path) -> None:
    model, origin = build(recipe, open_cell(shards / "text/train/en").manifest, parts(bare(full), tmp_path / "model"))
    assert torch.equal(model.roberta.embeddings.word_embeddings.weight, full.roberta.embeddings.word_embeddings.weight)
    assert {key.split(".")[0] for key in origin["new_keys"]} == {"lm_head"}


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("size", ["1GB", "40KB"])
@pytest.mark.parametrize(("change", "message"), [
    ({"vocab_size": 2**24}, rf"{WORDS}: shape \(60, 64\), expected shape \(16777216, 64\)"),
    ({"hidden_size": 128}, rf"{WORDS}: shape \(60, 64\), expected shape \(60, 128\)"),
    ({"num_hidden_layers": 900}, "layer.899.intermediate.dense.weight: missing, expected shape"),
    ({"num_hidden_layers": 1}, r"encoder weights .* have no place .* e.g. .*encoder.layer.1.attention"),
], ids=str)
def test_a_configuration_that_its_weights_contradict(recipe: Path, manifest: Manifest, full: Any, tmp_path: Path,
                                                     head: bool, size: str, change: dict[str, int],
                                                     message: str) -> None:
    folder = tmp_path / "model"
    (full if head else bare(full)).save_pretrained(folder, max_shard_size=size)
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | change))
    with pytest.raises(InputError, match=message):
        build(recipe, manifest, folder)


def test_half_an_encoder_without_a_head_is_refused(recipe: Path, manifest: Manifest, full: Any, tmp_path: Path) -> None:
    bare(full).save_pretrained(tmp_path / "model")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    weights.pop("encoder.layer.0.output.dense.bias")
    weights["encoder.layer.1.output.dense.bias"] = torch.zeros(3)
    save_file(weights, tmp_path / "model" / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"2 encoder weights .* missing or misshaped, e.g. roberta.encoder.layer.0"):
        build(recipe, manifest, tmp_path / "model")


# --- indices that lead astray ---------------------------------------------------------------------------------------
def first_file(name: Any) -> Callable[[dict[str, Any]], Any]:
    """An index whose first file is called `name`."""
    def change(index: dict[str, Any]) -> dict[str, Any]:
        first = min(index["weight_map"].values())
        files = {key: name if file == first else file for key, file in index["weight_map"].items()}
        return index | {"weight_map": files}
    return change


@pytest.mark.parametrize(("change", "message"), [
    (first_file("../outside.safetensors"), "names '../outside.safetensors'; expected names of .safetensors files"),
    (first_file("/etc/outside.safetensors"), "names '/etc/outside.safetensors'"),
    (first_file("below/inside.safetensors"), "names 'below/inside.safetensors'"),
    (first_file("weights.bin"), "names 'weights.bin'"),
    (first_file("a\nb.safetensors"), "names 'a.*b.safetensors'"),
    (first_file(""), "names ''"),
    (first_file(7), "is no index of weights"),
    (first_file(["x"]), "is no index of weights"),
    (first_file("gone.safetensors"), "gone.safetensors is missing, one of"),
    (lambda index: index | {"weight_map": {}}, "names no file"),
    (lambda index: index | {"weight_map": dict.fromkeys(index["weight_map"], 7)}, "names '7'"),
    (lambda index: {"metadata": {}}, "is no index of weights"),
    (lambda index: [], "is no index of weights"),
    (lambda index: {"weight_map": index["weight_map"]}, "cannot load"),
], ids=[str(i) for i in range(14)])
def test_an_index_names_files_of_its_folder_only(recipe: Path, manifest: Manifest, full: Any, tmp_path: Path,
                                                 change: Callable[[dict[str, Any]], Any], message: str) -> None:
    folder = parts(bare(full), tmp_path / "model")
    first = min(folder.glob("model-*.safetensors"))
    (folder / "below").mkdir()
    for place in (tmp_path / "outside.safetensors", folder / "below" / "inside.safetensors"):
        shutil.copy(first, place)  # these would load
    (folder / "weights.bin").write_bytes(pickle.dumps({}))
    content = json.loads((folder / INDEX).read_text())
    (folder / INDEX).write_text(json.dumps(change(content)))
    with pytest.raises(InputError, match=message) as caught:
        build(recipe, manifest, folder)
    assert "\n" not in str(caught.value)


def test_an_index_on_the_hub_is_looked_at_too(recipe: Path, manifest: Manifest, full: Any, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """In the hub's cache a name with dots would be looked up beside the repository's own files, and found."""
    snapshot = parts(bare(full), offline(monkeypatch, tmp_path / "hub")("some/encoder", FIRST))
    content = json.loads((snapshot / INDEX).read_text())
    (snapshot / INDEX).write_text(json.dumps(first_file("../../../outside.safetensors")(content)))
    with pytest.raises(InputError, match=r"names '../../../outside.safetensors'"):
        build_model(load_recipe(str(recipe), {"model.random": "null", "model.name": "some/encoder"}), manifest, 24)
