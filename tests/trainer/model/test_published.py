"""The config.json of published models, written by hand (settings only): each is read, and as transformers reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from trainer.model.encoders import FAMILIES
from trainer.model.pretrained import read_config

EUROBERT = {  # as published, with code of its own; the names of special tokens are left out
    "architectures": ["EuroBertForMaskedLM"], "attention_bias": False, "attention_dropout": 0.0,
    "auto_map": {"AutoConfig": "configuration_eurobert.EuroBertConfig",
                 "AutoModelForSequenceClassification": "modeling_eurobert.EuroBertForSequenceClassification"},
    "bos_token_id": 128000, "eos_token_id": 128001, "pad_token_id": 128001, "mask_token_id": 128002,
    "hidden_act": "silu", "hidden_dropout": 0.0, "initializer_range": 0.02, "is_decoder": False,
    "max_position_embeddings": 8192, "model_type": "eurobert", "pretraining_tp": 1, "rms_norm_eps": 1e-05,
    "rope_scaling": None, "rope_theta": 250000, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    "transformers_version": "4.40.0.dev0", "vocab_size": 128256}
GTE = {  # with the settings of its first code
    "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.0, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-12,
    "layer_norm_type": "layer_norm", "logn_attention_clip1": False, "logn_attention_scale": False,
    "max_position_embeddings": 8192, "model_type": "gte", "num_attention_heads": 12, "num_hidden_layers": 12,
    "pack_qkv": True, "pad_token_id": 1, "position_embedding_type": "rope", "type_vocab_size": 1,
    "unpad_inputs": "true", "use_memory_efficient_attention": "true", "vocab_size": 250048}
XNLI = "ar bg de el en es fr hi ru sw th tr ur vi zh"


def numbered(languages: str) -> dict[str, int]:
    return {language: number for number, language in enumerate(languages.split())}


XLM = {
    "architectures": ["XLMWithLMHeadModel"], "asm": False, "attention_dropout": 0.1, "bos_index": 0, "bos_token_id": 0,
    "causal": False, "dropout": 0.1, "end_n_top": 5, "eos_index": 1, "gelu_activation": True, "init_std": 0.02,
    "is_encoder": True, "layer_norm_eps": 1e-12, "mask_index": 5, "mask_token_id": 0, "max_position_embeddings": 512,
    "min_count": 0, "model_type": "xlm", "pad_index": 2, "pad_token_id": 2, "same_enc_dec": True,
    "share_inout_emb": True, "sinusoidal_embeddings": False, "start_n_top": 5, "summary_activation": None,
    "summary_first_dropout": 0.1, "summary_proj_to_labels": True, "summary_type": "first", "summary_use_proj": True,
    "unk_index": 3}
PUBLISHED: dict[str, dict[str, Any]] = {
    "facebook/xlm-roberta-xl": {
        "architectures": ["XLMRobertaXLForMaskedLM"], "attention_probs_dropout_prob": 0.1, "bos_token_id": 0,
        "classifier_dropout": None, "eos_token_id": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "hidden_size": 2560, "initializer_range": 0.02, "intermediate_size": 10240, "layer_norm_eps": 1e-05,
        "max_position_embeddings": 514, "model_type": "xlm-roberta-xl", "num_attention_heads": 32,
        "num_hidden_layers": 36, "pad_token_id": 1, "position_embedding_type": "absolute",
        "transformers_version": "4.16.0.dev0", "type_vocab_size": 1, "use_cache": True, "vocab_size": 250880},
    "EuroBERT/EuroBERT-210m": EUROBERT | {
        "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12,
        "num_key_value_heads": 12},
    "EuroBERT/EuroBERT-610m": EUROBERT | {
        "hidden_size": 1152, "intermediate_size": 4096, "num_attention_heads": 18, "num_hidden_layers": 26,
        "num_key_value_heads": 6, "head_dim": 64, "clf_pooling": "late", "mlp_bias": False},
    "EuroBERT/EuroBERT-2.1B": EUROBERT | {
        "hidden_size": 2304, "intermediate_size": 6144, "num_attention_heads": 18, "num_hidden_layers": 32,
        "num_key_value_heads": 6},
    "EuroBERT/EuroBERT-210m saved by transformers 5": {
        name: value for name, value in EUROBERT.items() if "rope" not in name} | {
        "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12,
        "num_key_value_heads": 12, "head_dim": 64, "mlp_bias": False, "classifier_pooling": "mean", "dtype": "float32",
        "rope_parameters": {"rope_theta": 250000, "rope_type": "default"}, "use_cache": False, "is_causal": False},
    "gte-multilingual-mlm-base": GTE | {
        "classifier_dropout": 0.1, "rope_theta": 160000, "rope_scaling": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": 160000.0}},
    "gte-multilingual-base": GTE | {  # theta 20000, "ntk" by a factor of 8 in its first code
        "rope_parameters": {"rope_type": "linear", "factor": 8 ** (2 / 64), "rope_theta": 160000.0}},
    "Snowflake/snowflake-arctic-embed-m-v2.0": GTE | {
        "auto_map": {"AutoModel": "modeling_hf_alibaba_nlp_gte.GteModel"}, "classifier_dropout": 0.1,
        "rope_scaling": None, "rope_theta": 160000, "torch_dtype": "float32"},
    "microsoft/mdeberta-v3-base": {
        "model_type": "deberta-v2", "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1, "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072,
        "max_position_embeddings": 512, "relative_attention": True, "position_buckets": 256,
        "norm_rel_ebd": "layer_norm", "share_att_key": True, "pos_att_type": "p2c|c2p", "layer_norm_eps": 1e-7,
        "max_relative_positions": -1, "position_biased_input": False, "num_attention_heads": 12,
        "attention_head_size": 64, "num_hidden_layers": 12, "type_vocab_size": 0, "vocab_size": 251000},
    "mDeBERTa-v3 fine-tuned with transformers 4": {
        "_name_or_path": "microsoft/mdeberta-v3-base", "architectures": ["DebertaV2ForSequenceClassification"],
        "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768,
        "id2label": {"0": "entailment", "1": "neutral", "2": "contradiction"}, "initializer_range": 0.02,
        "intermediate_size": 3072, "label2id": {"entailment": 0, "neutral": 1, "contradiction": 2},
        "layer_norm_eps": 1e-07, "legacy": True, "max_position_embeddings": 512, "max_relative_positions": -1,
        "model_type": "deberta-v2", "norm_rel_ebd": "layer_norm", "num_attention_heads": 12, "num_hidden_layers": 12,
        "pad_token_id": 0, "pooler_dropout": 0, "pooler_hidden_act": "gelu", "pooler_hidden_size": 768,
        "pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "position_buckets": 256,
        "relative_attention": True, "share_att_key": True, "torch_dtype": "float32", "transformers_version": "4.48.0",
        "type_vocab_size": 0, "vocab_size": 251000},
    "microsoft/deberta-v2-xlarge": {
        "model_type": "deberta-v2", "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1, "hidden_size": 1536, "initializer_range": 0.02, "intermediate_size": 6144,
        "max_position_embeddings": 512, "relative_attention": True, "position_buckets": 256,
        "norm_rel_ebd": "layer_norm", "share_att_key": True, "pos_att_type": "p2c|c2p", "layer_norm_eps": 1e-7,
        "conv_kernel_size": 3, "conv_act": "gelu", "max_relative_positions": -1, "position_biased_input": False,
        "num_attention_heads": 24, "attention_head_size": 64, "num_hidden_layers": 24, "type_vocab_size": 0,
        "vocab_size": 128100},
    "jhu-clsp/mmBERT-base": {
        "architectures": ["ModernBertForMaskedLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 2, "classifier_activation": "gelu", "classifier_bias": False, "classifier_dropout": 0.0,
        "classifier_pooling": "mean", "cls_token_id": 1, "decoder_bias": True, "deterministic_flash_attn": False,
        "embedding_dropout": 0.0, "eos_token_id": 1, "global_attn_every_n_layers": 3, "global_rope_theta": 160000,
        "gradient_checkpointing": False, "hidden_activation": "gelu", "hidden_size": 768,
        "initializer_cutoff_factor": 2.0, "initializer_range": 0.02, "intermediate_size": 1152, "layer_norm_eps": 1e-05,
        "local_attention": 128, "local_rope_theta": 160000, "mask_token_id": 4, "max_position_embeddings": 8192,
        "mlp_bias": False, "mlp_dropout": 0.0, "model_type": "modernbert", "norm_bias": False, "norm_eps": 1e-05,
        "num_attention_heads": 12, "num_hidden_layers": 22, "pad_token_id": 0, "position_embedding_type": "sans_pos",
        "repad_logits_with_grad": False, "sep_token_id": 1, "sparse_pred_ignore_index": -100,
        "sparse_prediction": False, "torch_dtype": "float32", "transformers_version": "4.48.0", "vocab_size": 256000},
    "mmBERT small saved with transformers 5": {
        "architectures": ["ModernBertModel"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 2,
        "classifier_activation": "gelu", "classifier_bias": False, "classifier_dropout": 0.0,
        "classifier_pooling": "mean", "cls_token_id": 1, "decoder_bias": True, "deterministic_flash_attn": False,
        "dtype": "bfloat16", "embedding_dropout": 0.0, "eos_token_id": 1, "hidden_activation": "gelu",
        "hidden_size": 384, "initializer_cutoff_factor": 2.0, "initializer_range": 0.02, "intermediate_size": 1152,
        "layer_types": (["full_attention"] + ["sliding_attention"] * 2) * 7 + ["full_attention"],
        "local_attention": 128, "max_position_embeddings": 8192, "mlp_bias": False, "mlp_dropout": 0.0,
        "model_type": "modernbert", "norm_bias": False, "norm_eps": 1e-05, "num_attention_heads": 6,
        "num_hidden_layers": 22, "pad_token_id": 0,
        "rope_parameters": {"full_attention": {"rope_theta": 160000.0, "rope_type": "default"},
                            "sliding_attention": {"rope_theta": 160000.0, "rope_type": "default"}},
        "sep_token_id": 1, "sparse_pred_ignore_index": -100, "sparse_prediction": False, "tie_word_embeddings": True,
        "transformers_version": "5.23.0", "vocab_size": 256000},
    "FacebookAI/xlm-mlm-tlm-xnli15-1024": {
        **XLM, "emb_dim": 1024, "embed_init_std": 1024**-0.5, "lang2id": numbered(XNLI), "max_vocab": 95000,
        "n_heads": 8, "n_langs": 15, "n_layers": 12, "use_lang_emb": True, "vocab_size": 95000},
    "FacebookAI/xlm-mlm-17-1280": {
        **XLM, "emb_dim": 1280, "embed_init_std": 1280**-0.5, "lang2id": numbered(
            "ar de en es fr hi it ja ko nl pl pt ru sv tr vi zh"),
        "max_vocab": 200000, "n_heads": 16, "n_langs": 17, "n_layers": 16, "use_lang_emb": False, "vocab_size": 200000},
    "FacebookAI/xlm-mlm-100-1280": {
        **XLM, "emb_dim": 1280, "embed_init_std": 1280**-0.5, "lang2id": numbered(XNLI + " als ang zh_min_nan zh_yue"),
        "max_vocab": 200000, "n_heads": 16, "n_langs": 100, "n_layers": 16, "use_lang_emb": False,
        "vocab_size": 200000},
}
LONGEST = {name: 512 if "xlm" in name or "eberta" in name.lower() else 8192 for name in PUBLISHED}
# What is left unsaid, where transformers' configuration has no value, or one that does not fit the published weights.
UNSAID = {"deberta-v2": {"conv_kernel_size": 0, "conv_groups": 1, "conv_act": "tanh", "legacy": False}}
LANGUAGES = {"FacebookAI/xlm-mlm-tlm-xnli15-1024": set(XNLI.split())}


def shapes(config: Any) -> dict[str, torch.Size]:
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    return {name: weight.shape for name, weight in model.state_dict().items()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_configuration_is_read_as_transformers_reads_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED[name]), encoding="utf-8")
    found = read_config(str(tmp_path), "model.name")
    expected = AutoConfig.from_pretrained(tmp_path, trust_remote_code=False)
    for setting, value in UNSAID.get(found.model_type, {}).items():
        if setting not in PUBLISHED[name]:
            setattr(expected, setting, value)
    family = FAMILIES[found.model_type]
    for head in family.heads:
        assert family.describe(found, head) == family.describe(expected, head)
    assert family.max_length(found) == LONGEST[name]
    assert set(family.languages(found) or ()) == LANGUAGES.get(name, set())
    assert shapes(found) == shapes(expected)
