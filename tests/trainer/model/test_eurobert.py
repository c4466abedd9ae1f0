"""EuroBERT: every pooling and variant of config.json against transformers' own model; what its bounds refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from data_prep.base.errors import InputError
from data_prep.shards.read import open_cell
from tests.encoder_sites import added, site_module
from tests.trainer.model.test_families import batch_of
from trainer.config import load_recipe
from trainer.kinds import KINDS
from trainer.model.build import build_model
from trainer.model.encoders import FAMILIES
from trainer.model.pretrained import read_config
from trainer.model.site import SiteModel

NAME = "eurobert"


def write(folder: Path, name: str = NAME, **changes: Any) -> Path:
    """config.json of a tiny model in `folder`, with some settings changed."""
    content = FAMILIES[name].random_config("tiny", 90, 40, pad_id=1, num_labels=3).to_dict()
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(content | changes, default=str), encoding="utf-8")
    return folder


def model_of(config: Any) -> Any:
    """A classifier in fp64 whose weights all count."""
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.double().eval()


def check(folder: Path, site: str) -> None:
    """The product's logits, from the configuration that it reads, are those of transformers' model of that folder."""
    ours = SiteModel(model_of(read_config(str(folder), "model.name")), KINDS["pair"], site).eval()
    theirs, batch = model_of(AutoConfig.from_pretrained(folder)), batch_of(ours.family.model_type)
    given = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask.long()}
    if ours.family.token_types(theirs.config):
        given["token_type_ids"] = batch.token_types
    delta = 0.1 * torch.randn(*batch.input_ids.shape, 64, dtype=torch.float64) * batch.attention_mask[..., None]
    with torch.no_grad(), added(site_module(theirs, site), delta):
        expected = theirs(**given).logits
    with torch.no_grad():
        torch.testing.assert_close(ours(batch, delta), expected, rtol=1e-10, atol=1e-10)
        assert (ours(batch) - expected).abs().max() > 1e-3


@pytest.mark.parametrize("site", ["word_embeddings", "layer:2"])
@pytest.mark.parametrize("changes", [
    {"classifier_pooling": "bos"}, {"classifier_pooling": "mean"}, {"classifier_pooling": "late"},
    {"num_key_value_heads": 1}, {"num_key_value_heads": 4}, {"num_key_value_heads": None, "head_dim": 32},
    {"attention_bias": True, "mlp_bias": True, "hidden_act": "gelu"}, {"rms_norm_eps": 0.3, "rope_parameters": None},
    {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1000.0}},
], ids=str)
def test_every_variant_equals_transformers(tmp_path: Path, changes: dict[str, Any], site: str) -> None:
    check(write(tmp_path, **changes), site)


def test_poolings_differ() -> None:
    """The test above could not fail otherwise; a row of one token is the same in all."""
    config, found = FAMILIES[NAME].random_config("tiny", 90, 40, pad_id=1, num_labels=3), []
    for config.classifier_pooling in ("bos", "mean", "late"):
        with torch.no_grad():
            found.append(SiteModel(model_of(config), KINDS["pair"], "layer:1").eval()(batch_of(NAME)))
    assert all((one - other).abs().max() > 1e-3 for one, other in zip(found, [*found[1:], found[0]], strict=True))


def test_the_pooling_under_its_first_name(tmp_path: Path) -> None:
    """transformers passes over `clf_pooling`, and would average over tokens where the model takes the first."""
    folder = write(tmp_path, clf_pooling="bos")
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del content["classifier_pooling"]
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    assert AutoConfig.from_pretrained(folder).classifier_pooling == "late"
    assert read_config(str(folder), "model.name").classifier_pooling == "bos"


def test_settings_left_out_are_those_of_transformers(tmp_path: Path) -> None:
    least = {"model_type": NAME, "vocab_size": 128256, "hidden_size": 64, "num_hidden_layers": 2,
             "num_attention_heads": 4, "intermediate_size": 128, "max_position_embeddings": 512}
    (tmp_path / "config.json").write_text(json.dumps(least), encoding="utf-8")
    found, expected = read_config(str(tmp_path), "model.name"), AutoConfig.from_pretrained(tmp_path)
    assert found.to_dict() == expected.to_dict() | {"_name_or_path": ""}


@pytest.mark.parametrize(("changes", "message"), [
    ({"num_key_value_heads": 3}, "contradict each other: width 64, 4 heads of 16, 3 of keys"),
    ({"num_attention_heads": 5, "num_key_value_heads": 5}, "contradict each other: width 64, 5 heads"),
    ({"head_dim": 15}, "4 heads of 15"), ({"head_dim": 2**20}, "head_dim"), ({"pad_token_id": 90}, "padding 90"),
    ({"num_key_value_heads": 0}, "num_key_value_heads"), ({"classifier_pooling": "max"}, "classifier_pooling"),
    ({"hidden_act": "os.system"}, "hidden_act"), ({"rms_norm_eps": -1.0}, "rms_norm_eps"),
    ({"attention_dropout": 2.0}, "attention_dropout"), ({"rope_theta": 0}, "rope_theta"),
    ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rope_parameters.rope_type: .*found 'yarn'"),
    ({"rope_scaling": {"type": "dynamic", "factor": 4.0}}, "rope_scaling.type"),
    ({"rope_parameters": {"rope_type": "linear"}}, "linear frequencies without a factor"),
    ({"rope_parameters": {"rope_theta": 1e308}}, "rope_parameters.rope_theta"),
    ({"rope_parameters": [1]}, "rope_parameters"),
], ids=str)
def test_settings_out_of_bounds(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_config(str(write(tmp_path, **changes)), "model.name")


def test_a_random_model_has_the_special_tokens_of_its_tokenizer(recipe: Path, shards: Path) -> None:
    """transformers warns of the defaults, which are beyond a smaller vocabulary."""
    manifest = open_cell(shards / "xnli/train/en").manifest
    config = build_model(load_recipe(str(recipe), {"model.family": NAME}), manifest, 24)[0].config
    tokenizer = manifest.tokenizer
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id, config.mask_token_id) == (
        tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id, tokenizer.mask_id)
