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

PUBLISHED: dict[str, dict[str, Any]] = {
    "facebook/xlm-roberta-xl": {
        "architectures": ["XLMRobertaXLForMaskedLM"], "attention_probs_dropout_prob": 0.1, "bos_token_id": 0,
        "classifier_dropout": None, "eos_token_id": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "hidden_size": 2560, "initializer_range": 0.02, "intermediate_size": 10240, "layer_norm_eps": 1e-05,
        "max_position_embeddings": 514, "model_type": "xlm-roberta-xl", "num_attention_heads": 32,
        "num_hidden_layers": 36, "pad_token_id": 1, "position_embedding_type": "absolute",
        "transformers_version": "4.16.0.dev0", "type_vocab_size": 1, "use_cache": True, "vocab_size": 250880},
}
LONGEST = {"facebook/xlm-roberta-xl": 512}


def shapes(config: Any) -> dict[str, torch.Size]:
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    return {name: weight.shape for name, weight in model.state_dict().items()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_configuration_is_read_as_transformers_reads_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED[name]), encoding="utf-8")
    found, expected = read_config(str(tmp_path), "model.name"), AutoConfig.from_pretrained(tmp_path)
    family = FAMILIES[found.model_type]
    for head in family.heads:
        assert family.describe(found, head) == family.describe(expected, head)
    assert family.max_length(found) == LONGEST[name]
    assert shapes(found) == shapes(expected)
