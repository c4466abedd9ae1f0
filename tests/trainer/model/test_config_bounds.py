"""Settings of a family's config.json: those within bounds reach transformers' configuration, contradictions do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data_prep.base.errors import InputError
from trainer.model.encoders import FAMILIES
from trainer.model.pretrained import read_config

# For every setting, another value than the default.
OTHERS: dict[str, dict[str, Any]] = {
    "deberta-v2": {
        "vocab_size": 70, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 40,
        "max_position_embeddings": 300, "type_vocab_size": 2, "hidden_act": "relu", "layer_norm_eps": 1e-6,
        "initializer_range": 0.03, "hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3, "pad_token_id": 5,
        "tie_word_embeddings": False, "relative_attention": True, "position_buckets": 12, "max_relative_positions": 90,
        "pos_att_type": ["c2p"], "norm_rel_ebd": "layer_norm", "share_att_key": True, "position_biased_input": False,
        "conv_kernel_size": 5, "conv_groups": 4, "conv_act": "gelu", "attention_head_size": 8, "embedding_size": 24,
        "pooler_hidden_size": 24, "pooler_hidden_act": "tanh", "pooler_dropout": 0.4, "cls_dropout": 0.25,
        "legacy": True, "id2label": {0: "a", 1: "b", 2: "c"}},
    "modernbert": {
        "vocab_size": 70, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 40,
        "max_position_embeddings": 300, "hidden_activation": "relu", "norm_eps": 1e-6, "norm_bias": True,
        "initializer_range": 0.03, "initializer_cutoff_factor": 3.0, "attention_bias": True, "mlp_bias": True,
        "decoder_bias": False, "classifier_bias": True, "classifier_activation": "tanh", "classifier_pooling": "mean",
        "embedding_dropout": 0.1, "attention_dropout": 0.2, "mlp_dropout": 0.3, "classifier_dropout": 0.4,
        "local_attention": 6, "layer_types": ["sliding_attention", "full_attention", "full_attention"],
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 50.0},
                            "sliding_attention": {"rope_type": "default", "rope_theta": 60.0}},
        "deterministic_flash_attn": True, "sparse_prediction": True, "sparse_pred_ignore_index": -1,
        "pad_token_id": 5, "bos_token_id": 6, "eos_token_id": 7, "cls_token_id": 8, "sep_token_id": 9,
        "tie_word_embeddings": False, "id2label": {0: "a", 1: "b", 2: "c"}},
    "eurobert": {
        "vocab_size": 70, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 6, "intermediate_size": 40,
        "num_key_value_heads": 2, "head_dim": 10, "max_position_embeddings": 300, "hidden_act": "relu",
        "rms_norm_eps": 1e-6, "initializer_range": 0.03, "attention_dropout": 0.2, "attention_bias": True,
        "mlp_bias": True, "classifier_pooling": "mean", "bos_token_id": 6, "eos_token_id": 7, "mask_token_id": 8,
        "rope_parameters": {"rope_type": "linear", "rope_theta": 50.0, "factor": 2.0}, "pad_token_id": 5,
        "tie_word_embeddings": True, "id2label": {0: "a", 1: "b", 2: "c"}},
    "gte": {
        "vocab_size": 70, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 40,
        "max_position_embeddings": 300, "type_vocab_size": 2, "hidden_act": "relu", "layer_norm_eps": 1e-6,
        "initializer_range": 0.03, "hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3,
        "classifier_dropout": 0.4, "rope_parameters": {"rope_type": "linear", "rope_theta": 50.0, "factor": 2.0},
        "pad_token_id": 5, "tie_word_embeddings": False, "id2label": {0: "a", 1: "b", 2: "c"}},
}
# Settings with one value only, and older names of others.
ELSEWHERE = {
    "modernbert": {"rope_scaling", "global_rope_theta", "local_rope_theta", "global_attn_every_n_layers"},
    "eurobert": {"rope_scaling", "rope_theta"},
    "gte": {"rope_scaling", "rope_theta", "position_embedding_type", "layer_norm_type", "logn_attention_scale",
            "is_decoder", "add_cross_attention"},
}
SOUND = {"vocab_size": 70, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 40,
         "pad_token_id": 0}


def read(folder: Path, name: str, settings: dict[str, Any]) -> Any:
    (folder / "config.json").write_text(json.dumps({"model_type": name, **settings}), encoding="utf-8")
    return read_config(str(folder), "model.name")


@pytest.mark.parametrize("name", OTHERS)
def test_every_setting_reaches_the_configuration(name: str, tmp_path: Path) -> None:
    fields = FAMILIES[name].config_bounds.model_fields
    assert OTHERS[name].keys() == fields.keys() - ELSEWHERE.get(name, set())
    plain = read(tmp_path, name, SOUND)
    found = read(tmp_path, name, OTHERS[name])
    for setting, value in OTHERS[name].items():
        assert getattr(found, setting) == value, setting
        assert setting in {*SOUND, "pooler_hidden_size"} or getattr(plain, setting, None) != value, setting


def test_settings_of_older_files(tmp_path: Path) -> None:
    old = read(tmp_path, "modernbert", SOUND | {
        "global_rope_theta": 50, "local_rope_theta": 60.0, "global_attn_every_n_layers": 2})
    assert old.layer_types == ["full_attention", "sliding_attention", "full_attention"]
    assert {kind: one["rope_theta"] for kind, one in old.rope_parameters.items()} == {
        "full_attention": 50.0, "sliding_attention": 60.0}
    half = read(tmp_path, "modernbert", SOUND | {
        "rope_parameters": {"full_attention": {"rope_theta": 70}}, "local_rope_theta": 80})
    assert {kind: one["rope_theta"] for kind, one in half.rope_parameters.items()} == {
        "full_attention": 70.0, "sliding_attention": 80.0}
    assert read(tmp_path, "deberta-v2", SOUND | {"pos_att_type": "P2C | c2p"}).pos_att_type == ["p2c", "c2p"]
    for name in ("eurobert", "gte"):
        assert read(tmp_path, name, SOUND | {"rope_theta": 50, "rope_scaling": None}).rope_parameters == {
            "rope_type": "default", "rope_theta": 50.0}
        scaled = read(tmp_path, name, SOUND | {"rope_theta": 50, "rope_scaling": {"type": "linear", "factor": 2}})
        assert scaled.rope_parameters == {"rope_type": "linear", "rope_theta": 50.0, "factor": 2.0}


@pytest.mark.parametrize(("name", "change"), [
    ("deberta-v2", {"num_attention_heads": 5}), ("deberta-v2", {"pad_token_id": 70}),
    ("deberta-v2", {"attention_head_size": 4}), ("deberta-v2", {"attention_head_size": 0}),
    ("deberta-v2", {"embedding_size": 12}), ("deberta-v2", {"pooler_hidden_size": 12}),
    ("deberta-v2", {"conv_kernel_size": 2}), ("deberta-v2", {"conv_kernel_size": 3, "conv_groups": 5}),
    ("deberta-v2", {"position_buckets": 1}), ("deberta-v2", {"position_buckets": 40, "max_relative_positions": 21}),
    ("deberta-v2", {"position_buckets": 40, "max_position_embeddings": 10}),
    ("deberta-v2", {"pos_att_type": "p2p"}), ("deberta-v2", {"pos_att_type": ["c2p"] * 3}),
    ("deberta-v2", {"norm_rel_ebd": "batch_norm"}), ("deberta-v2", {"layer_norm_eps": 1e-320}),
    ("modernbert", {"num_attention_heads": 5}), ("modernbert", {"num_attention_heads": 8}),  # of odd width
    ("modernbert", {"pad_token_id": 70}), ("modernbert", {"layer_types": ["full_attention"] * 2}),
    ("modernbert", {"layer_types": ["linear_attention"] * 3}), ("modernbert", {"global_attn_every_n_layers": 0}),
    ("modernbert", {"local_attention": 1}), ("modernbert", {"local_attention": -1}),
    ("modernbert", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}),
    ("modernbert", {"rope_parameters": {"full_attention": {"rope_type": "yarn", "factor": 4.0}}}),
    ("modernbert", {"rope_parameters": {"rope_theta": 10000.0}}), ("modernbert", {"global_rope_theta": 0}),
    ("bert", {"is_decoder": True}), ("xlm-roberta", {"is_decoder": True}), ("gte", {"add_cross_attention": True}),
    ("modernbert", {"classifier_pooling": "max"}), ("modernbert", {"hidden_activation": "os.system"}),
], ids=str)
def test_contradictions_are_refused(name: str, change: dict[str, Any], tmp_path: Path) -> None:
    sound = {"max_position_embeddings": 300, "type_vocab_size": 1} | SOUND
    read(tmp_path, name, sound)
    with pytest.raises(InputError, match=r"model.name: .*config\.json: ") as caught:
        read(tmp_path, name, sound | change)
    assert "\n" not in str(caught.value)
