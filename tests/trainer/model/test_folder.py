"""Model folders as people have them: whatever wrote one, the encoder that training begins with is the one saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from data_prep.base.errors import InputError
from data_prep.shards.manifest import Manifest
from data_prep.shards.read import open_cell
from tests.trainer.model.hub import FIRST, SECOND, offline
from tests.trainer.small_runs import killed_at, launcher_variables_kept, run, weights_of
from trainer.__main__ import main
from trainer.config import load_recipe
from trainer.kinds import KINDS
from trainer.model.build import build_model
from trainer.model.encoders import FAMILIES, Family
from trainer.runs.record import read_record
from trainer.train import train

families = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
WEIGHTS = "model.safetensors"
Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]


@pytest.fixture
def manifest(shards: Path) -> Manifest:
    return open_cell(shards / "xnli/train/en").manifest


def model_of(family: Family, auto_class: Any, tokens: int = 60, **settings: Any) -> Any:
    torch.manual_seed(3)
    return auto_class.from_config(family.random_config("tiny", tokens, 24, pad_id=1, **settings))


def build(recipe: Path, manifest: Manifest, name: str | Path, **more: str) -> tuple[Any, dict[str, Any]]:
    given = {"model.random": "null", "model.name": str(name), **more}
    return build_model(load_recipe(str(recipe), given), manifest, 24)


def changed(folder: Path, change: Change) -> None:
    """The weights in `folder` replaced by `change` of them."""
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS, {"format": "pt"})


def is_the_encoder_of(model: Any, old: Any, family: Family, kind: str = "pair") -> None:
    """Check that every encoder weight of `model` is that of `old`, in fp32."""
    saved = {key.removeprefix(family.prefix): value for key, value in old.base_model.state_dict().items()}
    names = [key for key in model.state_dict() if family.in_encoder(key, KINDS[kind].head)]
    for key in names:
        assert model.state_dict()[key].dtype == torch.float32, key
        assert torch.equal(model.state_dict()[key], saved[key.removeprefix(family.prefix)].float()), key
    assert {f"{family.prefix}{key}" for key in saved if not key.startswith("pooler.")} <= set(names)
    assert len(names) > 10


def heads_only(origin: dict[str, Any], family: Family) -> bool:
    """True if all that was dropped or drawn anew belongs to heads."""
    return not [key for key in (*origin["new_keys"], *origin["dropped_keys"])
                if family.in_encoder(key, KINDS["pair"].head)]


# --- an encoder without a head --------------------------------------------------------------------------------------
@families
@pytest.mark.parametrize("size", ["1GB", "60KB"])
@pytest.mark.parametrize("kind", ["pair", "mlm"])
def test_saved_by_auto_model(family: Family, size: str, kind: str, recipe: Path, shards: Path, tmp_path: Path) -> None:
    old = model_of(family, AutoModel)
    old.save_pretrained(tmp_path / "model", max_shard_size=size)
    assert (tmp_path / "model" / WEIGHTS).is_file() == (size == "1GB")
    cell = "xnli/train/en" if kind == "pair" else "text/train/en"
    model, origin = build(recipe, open_cell(shards / cell).manifest, tmp_path / "model")
    is_the_encoder_of(model, old, family, kind)
    assert not [key for key in origin["new_keys"] if family.in_encoder(key, KINDS[kind].head)]


@families
def test_with_a_pooler_and_without(family: Family, recipe: Path, manifest: Manifest, tmp_path: Path) -> None:
    """A pooler is part of a head: kept where the head has it and the file too, else drawn anew or dropped."""
    old = model_of(family, AutoModel)
    old.save_pretrained(tmp_path / "with")
    poolers = {key: value for key, value in old.state_dict().items() if key.startswith("pooler.")}
    model, _ = build(recipe, manifest, tmp_path / "with")
    for key, value in poolers.items():
        if f"{family.prefix}{key}" in model.state_dict():
            assert torch.equal(model.state_dict()[f"{family.prefix}{key}"], value)
    changed(tmp_path / "with", lambda weights: {key: weights[key] for key in weights.keys() - poolers.keys()})
    model, origin = build(recipe, manifest, tmp_path / "with")
    is_the_encoder_of(model, old, family)
    assert heads_only(origin, family)
    assert {f"{family.prefix}{key}" for key in poolers} & model.state_dict().keys() <= set(origin["new_keys"])


def sentence_transformers(folder: Path, path: str) -> Path:
    """The folder that sentence-transformers makes around an encoder, whose own folder is returned."""
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    (folder / "2_Dense").mkdir()
    save_file({"linear.weight": torch.zeros(64, 64)}, folder / "2_Dense" / WEIGHTS)
    name = "sentence_transformers.models"
    (folder / "modules.json").write_text(json.dumps([
        {"idx": 0, "name": "0", "path": path, "type": f"{name}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{name}.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Dense", "type": f"{name}.Dense"}]))
    if path:  # as early versions wrote it
        (folder / "config.json").write_text(json.dumps({"__version__": "0.2.5"}))
    return folder / path


@families
@pytest.mark.parametrize("path", ["", "0_Transformer"])
def test_saved_by_sentence_transformers(family: Family, path: str, recipe: Path, manifest: Manifest, tmp_path: Path,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    old = model_of(family, AutoModel)
    old.save_pretrained(sentence_transformers(tmp_path / "model", path))
    is_the_encoder_of(build(recipe, manifest, tmp_path / "model")[0], old, family)
    old.save_pretrained(sentence_transformers(offline(monkeypatch, tmp_path / "hub")("some/encoder"), path))
    model, origin = build(recipe, manifest, "some/encoder")
    is_the_encoder_of(model, old, family)
    assert origin["commit"] == FIRST


@pytest.mark.parametrize("content", [
    '[{"path": "../0_Transformer"}]', '[{"path": "0_Transformer/../.."}]', '[{"path": "/etc"}]', '[{"path": 7}]', "{}",
    "[]", "x"])
def test_modules_that_lead_astray(content: str, recipe: Path, manifest: Manifest, tmp_path: Path) -> None:
    family = next(iter(FAMILIES.values()))
    for folder in ("0_Transformer", "model"):  # either would load
        model_of(family, AutoModel).save_pretrained(tmp_path / folder)
    (tmp_path / "model" / "modules.json").write_text(content)
    with pytest.raises(InputError, match=r"modules\.json (names .* as the encoder's folder|cannot be read)"):
        build(recipe, manifest, tmp_path / "model")


# --- weights --------------------------------------------------------------------------------------------------------
@families
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_another_type_are_trained_in_fp32(family: Family, dtype: torch.dtype, recipe: Path,
                                                     manifest: Manifest, tmp_path: Path) -> None:
    old = model_of(family, AutoModel).to(dtype)
    old.save_pretrained(tmp_path / "model")
    model, _ = build(recipe, manifest, tmp_path / "model")
    is_the_encoder_of(model, old, family)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


@families
def test_a_padded_vocabulary(family: Family, recipe: Path, manifest: Manifest, tmp_path: Path) -> None:
    old = model_of(family, AutoModelForMaskedLM, tokens=64)
    old.save_pretrained(tmp_path / "more")
    model, _ = build(recipe, manifest, tmp_path / "more")
    is_the_encoder_of(model, old, family)
    assert model.get_input_embeddings().weight.shape[0] == 64
    model_of(family, AutoModel, tokens=59).save_pretrained(tmp_path / "fewer")
    with pytest.raises(InputError, match="has 59 word embeddings, the shards' tokenizer 60 entries"):
        build(recipe, manifest, tmp_path / "fewer")


@families
def test_names_and_buffers_of_early_releases(family: Family, recipe: Path, manifest: Manifest, tmp_path: Path) -> None:
    """`LayerNorm.gamma` of the first BERTs, stored position numbers; and what is saved afterwards has today's names."""
    old = model_of(family, AutoModelForMaskedLM)
    old.save_pretrained(tmp_path / "model")

    def early(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        renamed = {key: next((key.replace(*pair) for pair in names.items() if key.endswith(pair[0])), key)
                   for key in weights}
        buffer = {name: value for name, value in old.named_buffers() if name.endswith("position_ids")}
        return {renamed[key]: value for key, value in weights.items()} | buffer

    changed(tmp_path / "model", early)
    model, origin = build(recipe, manifest, tmp_path / "model")
    is_the_encoder_of(model, old, family)
    assert heads_only(origin, family)
    first = run(recipe, "first", {"model.random": "null", "model.name": str(tmp_path / "model"),
                                  "schedule.max_steps": "1"})
    assert weights_of(first).keys() <= model.state_dict().keys()
    second, _ = build_model(load_recipe(str(recipe), {"model.random": "null", "init_from": str(first)}), manifest, 24)
    for key, value in weights_of(first).items():
        if family.in_encoder(key, KINDS["pair"].head):
            assert torch.equal(second.state_dict()[key], value), key


@families
@pytest.mark.parametrize("bare", [True, False])
def test_an_incomplete_or_doubled_encoder_is_refused(family: Family, bare: bool, recipe: Path, manifest: Manifest,
                                                     tmp_path: Path) -> None:
    """Weights of every part of the encoder, one by one: missing, of another shape, or there under two names."""
    old = model_of(family, AutoModel if bare else AutoModelForSequenceClassification)
    old.save_pretrained(tmp_path / "model")
    whole = load_file(tmp_path / "model" / WEIGHTS)
    names = sorted(key for key in whole
                   if family.in_encoder(key if not bare else family.prefix + key, KINDS["pair"].head))
    for name in names[:: max(1, len(names) // 4)]:
        other = name.removeprefix(family.prefix) if not bare else family.prefix + name
        for change, message in (({}, "missing"), ({name: torch.zeros(3)}, r"misshaped|shape \(3,\)"),
                                ({name: whole[name], other: whole[name].clone()}, "is there twice")):
            rest = {key: whole[key] for key in whole.keys() - {name}}
            save_file(rest | change, tmp_path / "model" / WEIGHTS, {"format": "pt"})
            with pytest.raises(InputError, match=message):
                build(recipe, manifest, tmp_path / "model")


# --- heads ----------------------------------------------------------------------------------------------------------
@families
@pytest.mark.parametrize("auto_class", [
    AutoModelForQuestionAnswering, AutoModelForTokenClassification, AutoModelForSequenceClassification])
@pytest.mark.parametrize("count", [2, 3])
def test_a_head_of_another_task_is_dropped(family: Family, auto_class: Any, count: int, recipe: Path,
                                           manifest: Manifest, tmp_path: Path) -> None:
    """A tagger's last layer may have the name and the shape of a classifier's: its classes tell it apart."""
    if auto_class.__name__ not in family.heads:
        pytest.skip("transformers has no such head")
    old = model_of(family, family.auto_class(auto_class.__name__), num_labels=count)
    old.save_pretrained(tmp_path / "model")
    model, origin = build(recipe, manifest, tmp_path / "model")
    is_the_encoder_of(model, old, family)
    assert heads_only(origin, family)
    output = family.heads[KINDS["pair"].head].output_layer
    assert f"{output}.weight" in origin["new_keys"]
    foreign = {key for key in old.state_dict().keys() - model.state_dict().keys() if not key.startswith(family.prefix)}
    assert foreign <= set(origin["dropped_keys"])


@families
@pytest.mark.parametrize("stored", [True, False])
def test_a_masked_language_model(family: Family, stored: bool, recipe: Path, manifest: Manifest, shards: Path,
                                 tmp_path: Path) -> None:
    """Its head's matrix is tied to the word table, and in the file or not."""
    old = model_of(family, AutoModelForMaskedLM)
    old.save_pretrained(tmp_path / "model")
    if stored:
        changed(tmp_path / "model", lambda weights: {
            key: weights.get(key, value).clone() for key, value in old.state_dict().items()})
    model, origin = build(recipe, manifest, tmp_path / "model")
    is_the_encoder_of(model, old, family)
    assert heads_only(origin, family)
    model, origin = build(recipe, open_cell(shards / "text/train/en").manifest, tmp_path / "model")
    assert origin["new_keys"] == origin["dropped_keys"] == []
    for key, value in old.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert tied == old.config.tie_word_embeddings


@families
def test_rows_of_a_classifier_follow_their_names(family: Family, recipe: Path, manifest: Manifest,
                                                 tmp_path: Path) -> None:
    names = ["entailment", "neutral", "contradiction"]
    old = model_of(family, AutoModelForSequenceClassification, id2label=dict(enumerate(names)),
                   label2id={name: row for row, name in enumerate(names)})
    layer = family.heads[KINDS["pair"].head].output_layer
    for weight in old.get_submodule(layer).parameters():
        weight.data.copy_(torch.randn(weight.shape))
    old.save_pretrained(tmp_path / "model")
    model, origin = build(recipe, manifest, tmp_path / "model")
    rows = [names.index(label) for label in manifest.labels]
    assert rows != [0, 1, 2]
    for part, weight in old.get_submodule(layer).named_parameters():
        assert torch.equal(model.get_submodule(layer).get_parameter(part), weight[rows]), part
        assert f"{layer}.{part}" in origin["reordered_keys"]
    for key, value in old.state_dict().items():
        assert key.startswith(layer) or torch.equal(model.state_dict()[key], value), key


@families
def test_a_layer_is_redrawn_as_transformers_draws_it(family: Family, recipe: Path, manifest: Manifest,
                                                     tmp_path: Path) -> None:
    """Its scale and its bias, if any, are those of a classifier that transformers makes; all else stays."""
    old = model_of(family, AutoModelForSequenceClassification, num_labels=3)
    layer = family.heads[KINDS["pair"].head].output_layer
    expected = old.get_submodule(layer).weight.std().item()
    for weight in old.parameters():
        weight.data.add_(5.0)
    old.save_pretrained(tmp_path / "model")
    model, origin = build(recipe, manifest, tmp_path / "model")
    assert all(key.startswith(f"{layer}.") for key in origin["new_keys"])
    for key, value in old.state_dict().items():
        assert torch.equal(model.state_dict()[key], value) != key.startswith(f"{layer}."), key
    assert model.get_submodule(layer).weight.std().item() == pytest.approx(expected, rel=0.3)
    assert all((weight == 0).all() for part, weight in model.get_submodule(layer).named_parameters() if part == "bias")
    assert not torch.equal(model.get_submodule(layer).weight,
                           build(recipe, manifest, tmp_path / "model", seed="8")[0].get_submodule(layer).weight)


# --- pickles --------------------------------------------------------------------------------------------------------
def test_a_pickle_is_refused_with_the_command_that_converts_it(recipe: Path, manifest: Manifest, tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    old = model_of(next(iter(FAMILIES.values())), AutoModel)
    folder, commit = tmp_path / "with pickle", offline(monkeypatch, tmp_path / "hub")("some/encoder")
    for place in (folder, commit):
        old.config.save_pretrained(place)
        torch.save(old.state_dict(), place / "pytorch_model.bin")
    with pytest.raises(InputError, match="its weights are a pickle") as caught:
        build(recipe, manifest, folder)
    words = str(caught.value).split("`")[1]
    assert words == f"python -m trainer convert '{folder}' 'with pickle-safetensors'"
    with pytest.raises(InputError) as caught:
        build(recipe, manifest, "some/encoder", **{"model.revision": FIRST})
    assert f"`python -m trainer convert some/encoder encoder-safetensors --revision {FIRST}`" in str(caught.value)
    monkeypatch.chdir(tmp_path)
    assert main(["convert", "some/encoder", "encoder-safetensors", "--revision", FIRST]) == 0
    is_the_encoder_of(build(recipe, manifest, "encoder-safetensors")[0], old, next(iter(FAMILIES.values())))


# --- revisions ------------------------------------------------------------------------------------------------------
def two_commits(monkeypatch: pytest.MonkeyPatch, cache: Path) -> tuple[Any, Any, Callable[[str, str], Path]]:
    """Two encoders, the first and second commit of `some/encoder`, of which the first is the main branch."""
    commit, family = offline(monkeypatch, cache), next(iter(FAMILIES.values()))
    models = model_of(family, AutoModel), model_of(family, AutoModel)
    models[1].base_model.get_input_embeddings().weight.data.add_(1.0)
    for model, place in zip(models, (SECOND, FIRST), strict=True):
        model.save_pretrained(commit("some/encoder", place))
    return models[1], models[0], commit


def test_a_revision_is_taken_and_its_commit_recorded(recipe: Path, manifest: Manifest, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, _ = two_commits(monkeypatch, tmp_path / "hub")
    family = next(iter(FAMILIES.values()))
    for more, expected, commit in (({}, first, FIRST), ({"model.revision": "main"}, first, FIRST),
                                   ({"model.revision": SECOND}, second, SECOND)):
        model, origin = build(recipe, manifest, "some/encoder", **more)
        is_the_encoder_of(model, expected, family)
        assert (origin["model.name"], origin["commit"]) == ("some/encoder", commit)
    with pytest.raises(InputError, match="cannot load 'some/encoder' at revision 'gone'"):
        build(recipe, manifest, "some/encoder", **{"model.revision": "gone"})
    first.save_pretrained(tmp_path / "folder")
    with pytest.raises(InputError, match="is a folder on this machine, which has no revision 'main'"):
        build(recipe, manifest, tmp_path / "folder", **{"model.revision": "main"})
    for wrong in ("../x", "-x", "a b", ""):
        with pytest.raises(InputError, match=r"model\.revision"):
            build(recipe, manifest, "some/encoder", **{"model.revision": wrong})
    with pytest.raises(InputError, match=r"model\.revision is that of a model\.name"):
        load_recipe(str(recipe), {"model.revision": "main"})


def test_a_resumed_run_stays_at_its_commit(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    """Though the branch has moved; another run takes the new one, and counts as one of another model."""
    _, _, commit = two_commits(monkeypatch, tmp_path / "hub")
    words = {"model.random": "null", "model.name": "some/encoder", "schedule.max_steps": "4"}
    with killed_at(3), launcher_variables_kept():
        train(str(recipe), name="one", **words)
    assert f"took the encoder from some/encoder at commit {FIRST}; " in capsys.readouterr().out
    commit("some/encoder", SECOND)
    one, two = read_record(run(recipe, "one", words)), read_record(run(recipe, "two", words))
    assert one is not None
    assert two is not None
    assert (one.weights_from["commit"], two.weights_from["commit"]) == (FIRST, SECOND)
    assert {key for key in one.settings if one.settings[key] != two.settings[key]} == {"model.origin"}
    assert "model.revision" not in one.settings
