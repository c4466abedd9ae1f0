"""Where a run's weights come from, and what is refused: other families, tokenizers, shapes, half an encoder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import GPT2Config, GPT2ForSequenceClassification, PreTrainedTokenizerFast

from data_prep.base.errors import InputError
from data_prep.shards.manifest import Manifest
from data_prep.shards.read import open_cell
from data_prep.shards.tokenizers import tokenizer_fingerprint
from tests.random_cells import TYPED
from tests.trainer.small_runs import PGD, TEXT, run, weights_of, write_recipe
from trainer.config import load_recipe
from trainer.kinds import KINDS
from trainer.model.build import build_model


@pytest.fixture(scope="module")
def pretrained(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of masked language modelling."""
    return run(write_recipe(tmp_path_factory.mktemp("pretrained"), shards), "mlm", {**TEXT, "optimizer.lr": "0.01"})


@pytest.fixture
def manifest(shards: Path) -> Manifest:
    return open_cell(shards / "xnli/train/en").manifest


def build(recipe: Path, manifest: Manifest, **overrides: str) -> tuple[Any, dict[str, Any]]:
    changes = {"model.random": "null"} if {"init_from", "model.name"} & overrides.keys() else {}
    return build_model(load_recipe(str(recipe), {**changes, **overrides}), manifest, 24)


def refused(recipe: Path, manifest: Manifest, message: str, **overrides: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        build(recipe, manifest, **overrides)
    assert "\n" not in str(caught.value)


def encoder(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: value for key, value in state.items() if key.startswith("roberta.")}


def test_random_weights_are_a_function_of_the_seed(recipe: Path, manifest: Manifest) -> None:
    one, origin = build(recipe, manifest)
    torch.rand(5)
    again, other = build(recipe, manifest)[0], build(recipe, manifest, seed="8")[0]
    assert origin == {"random": "tiny", "family": "xlm-roberta"}
    for key, value in one.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    assert not torch.equal(one.classifier.dense.weight, other.classifier.dense.weight)
    assert one.config.id2label == dict(enumerate(manifest.labels))
    assert one.config.vocab_size == manifest.tokenizer.vocab_size


def test_the_encoder_of_an_earlier_run_is_taken_over_whole(recipe: Path, manifest: Manifest, pretrained: Path) -> None:
    model, origin = build(recipe, manifest, init_from=str(pretrained))
    old, new = encoder(weights_of(pretrained)), encoder(model.state_dict())
    assert old.keys() == new.keys()
    assert all(torch.equal(old[key], new[key]) for key in old)
    assert not torch.equal(new["roberta.embeddings.word_embeddings.weight"],
                           build(recipe, manifest)[0].roberta.embeddings.word_embeddings.weight)
    assert origin["encoder_keys"] == len(old)
    assert {key.split(".")[0] for key in origin["dropped_keys"]} == {"lm_head"}
    assert {key.split(".")[0] for key in origin["new_keys"]} == {"classifier"}


def test_heads_of_one_head_seed_start_alike(recipe: Path, manifest: Manifest, pretrained: Path) -> None:
    """On a trained encoder; without it, each seed draws a head of its own."""
    def head(**overrides: str) -> torch.Tensor:
        weight = build(recipe, manifest, init_from=str(pretrained), **overrides)[0].classifier.dense.weight
        assert isinstance(weight, torch.Tensor)
        return weight

    one = head(seed="7", **{"model.head_seed": "1"})
    assert torch.equal(one, head(seed="8", **{"model.head_seed": "1"}))
    assert not torch.equal(one, head(seed="7", **{"model.head_seed": "2"}))
    assert not torch.equal(head(seed="7"), head(seed="8"))
    with pytest.raises(InputError, match=r"model.head_seed is of a new head on a trained encoder"):
        load_recipe(str(recipe), {"model.head_seed": "1"})


def broken(pretrained: Path, folder: Path, change: Any) -> str:
    shutil.copytree(pretrained, folder)
    weights = load_file(folder / "best" / "model.safetensors")
    change(weights)
    save_file(weights, folder / "best" / "model.safetensors", {"format": "pt"})
    return str(folder)


LAYER = "roberta.encoder.layer.1.output.dense.bias"


@pytest.mark.parametrize(("change", "message"), [
    (lambda weights: weights.pop(LAYER), f"1 encoder weights are missing, e.g. {LAYER}"),
    (lambda weights: weights.update({"roberta.adapter.bias": torch.zeros(2)}), "no place here, e.g. roberta.ada"),
    (lambda weights: weights.update({LAYER: torch.zeros(3)}), rf"{LAYER} has shape \(3,\), expected \(64,\)"),
], ids=["missing", "extra", "misshaped"])
@pytest.mark.parametrize("how", ["init_from", "model.name"])
def test_half_an_encoder_is_refused(recipe: Path, manifest: Manifest, pretrained: Path, tmp_path: Path, change: Any,
                                    message: str, how: str) -> None:
    source = broken(pretrained, tmp_path / "broken", change)
    if how == "init_from":
        refused(recipe, manifest, message, init_from=source)
    elif "no place" not in message:  # a published encoder may carry a pooler, which no head here uses
        refused(recipe, manifest, f"1 encoder weights .* e.g. {LAYER}", **{"model.name": f"{source}/best"})


def test_another_head_is_replaced_and_said(recipe: Path, manifest: Manifest, pretrained: Path, tmp_path: Path) -> None:
    model, origin = build(recipe, manifest, **{"model.name": str(pretrained / "best")})
    assert torch.equal(model.roberta.embeddings.word_embeddings.weight,
                       weights_of(pretrained)["roberta.embeddings.word_embeddings.weight"])
    assert "classifier.dense.weight" in origin["new_keys"]
    fewer = manifest.model_copy(update={"labels": manifest.labels[:2]})
    build(recipe, fewer)[0].save_pretrained(tmp_path / "two")
    model, origin = build(recipe, manifest, **{"model.name": str(tmp_path / "two")})
    assert model.classifier.out_proj.weight.shape[0] == 3
    assert "classifier.out_proj.weight" in origin["new_keys"]
    assert "classifier.dense.weight" not in origin["new_keys"]


def test_folders_that_hold_no_such_model(recipe: Path, manifest: Manifest, pretrained: Path, tmp_path: Path) -> None:
    refused(recipe, manifest, "init_from: .*best holds no model", init_from=str(tmp_path / "nothing"))
    refused(recipe, manifest, "model.name: cannot load", **{"model.name": str(tmp_path / "nothing")})
    other = GPT2ForSequenceClassification(GPT2Config(vocab_size=60, n_embd=8, n_layer=1, n_head=1))
    other.save_pretrained(tmp_path / "gpt2")
    refused(recipe, manifest, "a model of type 'gpt2'; this trainer takes xlm-roberta, ",
            **{"model.name": str(tmp_path / "gpt2")})
    shutil.copytree(pretrained / "best", tmp_path / "empty")
    (tmp_path / "empty" / "model.safetensors").unlink()
    refused(recipe, manifest, "model.name: cannot load", **{"model.name": str(tmp_path / "empty")})
    cut = tmp_path / "cut" / "best"
    shutil.copytree(pretrained / "best", cut)
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:5000])
    refused(recipe, manifest, "model.name: cannot load", **{"model.name": str(cut)})
    refused(recipe, manifest, r"run\.json cannot be read", init_from=str(tmp_path / "cut"))
    shutil.copy(pretrained / "run.json", tmp_path / "cut")
    refused(recipe, manifest, r"cut is not a finished run \(no done\.json\)", init_from=str(tmp_path / "cut"))
    shutil.copy(pretrained / "done.json", tmp_path / "cut")
    refused(recipe, manifest, r"init_from: cannot load .*model\.safetensors", init_from=str(tmp_path / "cut"))


def test_another_tokenizer_is_refused(recipe: Path, manifest: Manifest, pretrained: Path, tmp_path: Path) -> None:
    other = manifest.model_copy(update={"tokenizer": manifest.tokenizer.model_copy(update={"fingerprint": "1" * 64})})
    refused(recipe, other, "trained with tokenizer 000000000000, the shards were built with 111111111111",
            init_from=str(pretrained))
    shutil.copytree(pretrained / "best", tmp_path / "named")
    vocabulary = [(word, 0.0) for word in ("<s>", "<pad>", "</s>", "<unk>", "a", "<mask>")]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.Unigram(vocabulary, 3)), pad_token="<pad>",
                                        bos_token="<s>", eos_token="</s>", unk_token="<unk>", mask_token="<mask>")
    tokenizer.save_pretrained(tmp_path / "named")
    refused(recipe, manifest, "model.name: .* the shards were built with 000000000000",
            **{"model.name": str(tmp_path / "named")})
    loaded = PreTrainedTokenizerFast.from_pretrained(tmp_path / "named")
    same = manifest.tokenizer.model_copy(update={"fingerprint": tokenizer_fingerprint(loaded)})
    build(recipe, manifest.model_copy(update={"tokenizer": same}), **{"model.name": str(tmp_path / "named")})


def test_random_weights_have_the_token_types_of_the_shards(recipe: Path, manifest: Manifest) -> None:
    typed = manifest.tokenizer.model_copy(update={"template": TYPED})
    model, _ = build(recipe, manifest.model_copy(update={"tokenizer": typed}))
    assert model.config.type_vocab_size == len(model.roberta.embeddings.token_type_embeddings.weight) == 2
    assert build(recipe, manifest)[0].config.type_vocab_size == 1


def test_too_small_a_table_is_refused(recipe: Path, manifest: Manifest, pretrained: Path) -> None:
    bigger = manifest.model_copy(update={"tokenizer": manifest.tokenizer.model_copy(update={"vocab_size": 61})})
    refused(recipe, bigger, "60 word embeddings, the shards' tokenizer 61", init_from=str(pretrained))
    with pytest.raises(InputError, match="max_length is 600"):
        build_model(load_recipe(str(recipe), {"model.random": "null", "init_from": str(pretrained)}), manifest, 600)


def test_frozen_word_embeddings_stay(recipe: Path, manifest: Manifest) -> None:
    start = build(recipe, manifest)[0].state_dict()
    end = weights_of(run(recipe, "frozen", {"model.freeze_word_embeddings": "true", **PGD}))
    for key, value in end.items():
        assert torch.equal(value, start[key]) == (key == "roberta.embeddings.word_embeddings.weight"), key


def test_gradient_checkpointing_changes_nothing(recipe: Path) -> None:
    """With dropout, too: the recomputed masks must be those of the first pass."""
    settings = {**PGD, "model.dropout": "0.1"}
    plain = weights_of(run(recipe, "kept", settings))
    again = weights_of(run(recipe, "recomputed", {**settings, "model.gradient_checkpointing": "true"}))
    for key, value in plain.items():
        torch.testing.assert_close(again[key], value, rtol=1e-6, atol=1e-7)


def test_a_kind_whose_head_the_family_lacks_is_refused(
    recipe: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "pair", replace(KINDS["pair"], head="AutoModelForNextSentencePrediction"))
    with pytest.raises(InputError, match="xlm-roberta has no head for tasks of kind pair; its heads: AutoModelFor"):
        build_model(load_recipe(str(recipe)), manifest, 24)
