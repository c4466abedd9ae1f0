"""Builds the model of a run: weights from the hub, a folder, an earlier run, or at random.

Inputs: recipe, the manifest of the training cells. Output: a transformers model with the head of the task's kind.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, XLMRobertaConfig

from data_prep.errors import InputError
from data_prep.shards import Manifest, tokenizer_fingerprint
from trainer.config.schema import Recipe
from trainer.model.heads import HEADS
from trainer.model.transfer import transfer_encoder
from trainer.run_dir import BEST, RECORD

# Hidden size, layers, heads, feed-forward width. `tiny` is for laptops and tests, the others are XLM-R's own shapes.
SIZES = {"tiny": (64, 2, 4, 128), "base": (768, 12, 12, 3072), "large": (1024, 24, 16, 4096)}
MODEL_TYPE = "xlm-roberta"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "sentencepiece.bpe.model")


def build_model(recipe: Recipe, manifest: Manifest, max_length: int) -> tuple[PreTrainedModel, dict[str, Any]]:
    """(model, what was loaded and what was dropped) for `recipe`; random parts are a function of its seed.

    Raises InputError for a model of another family, another tokenizer or vocabulary than the shards', or a folder
    that is not there.
    """
    config, origin = _configuration(recipe, manifest, max_length)
    _apply(config, recipe, manifest)
    auto_class: Any = HEADS[manifest.kind].auto_class
    torch.manual_seed(recipe.seed)
    if recipe.model.name is not None:
        model, info = _load_weights(auto_class, recipe.model.name, config)
        origin |= {"new_keys": sorted(info["missing_keys"]), "dropped_keys": sorted(info["unexpected_keys"])}
    else:
        model = auto_class.from_config(config)
        if recipe.init_from is not None:
            origin |= transfer_encoder(Path(recipe.init_from) / BEST, model)
    if recipe.model.freeze_word_embeddings:
        model.get_input_embeddings().weight.requires_grad_(False)
    if recipe.model.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model, origin


def _load_weights(auto_class: Any, name: str, config: Any) -> tuple[PreTrainedModel, dict[str, Any]]:
    """(model, loading report); a head of another shape is dropped, an encoder that is not whole is refused."""
    try:
        model, info = auto_class.from_pretrained(
            name, config=config, output_loading_info=True, trust_remote_code=False, dtype=torch.float32,
            ignore_mismatched_sizes=True)
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"model.name: cannot load {name!r}: {' '.join(str(error).split())[:200]}") from None
    misshaped = {key for key, *_ in info["mismatched_keys"]}
    new, dropped = misshaped | set(info["missing_keys"]), misshaped | set(info["unexpected_keys"])
    if broken := sorted(key for key in new if key.startswith(f"{model.base_model_prefix}.")):
        raise InputError(f"model.name: {len(broken)} encoder weights of {name} are missing or misshaped, "
                         f"e.g. {broken[0]}")
    return model, {"missing_keys": new, "unexpected_keys": dropped}


def _configuration(recipe: Recipe, manifest: Manifest, max_length: int) -> tuple[Any, dict[str, Any]]:
    if recipe.model.random is not None:
        hidden, layers, heads, width = SIZES[recipe.model.random]
        config = XLMRobertaConfig(
            vocab_size=manifest.tokenizer.vocab_size, hidden_size=hidden, num_hidden_layers=layers,
            num_attention_heads=heads, intermediate_size=width, type_vocab_size=1, layer_norm_eps=1e-5,
            max_position_embeddings=max(514, max_length + manifest.tokenizer.pad_id + 1),
            pad_token_id=manifest.tokenizer.pad_id, bos_token_id=manifest.tokenizer.cls_id,
            eos_token_id=manifest.tokenizer.sep_id)
        return config, {"random": recipe.model.random}
    if recipe.init_from is not None:
        source, key = str(Path(recipe.init_from) / BEST), "init_from"
        if not (Path(source) / "config.json").is_file():
            raise InputError(f"init_from: {source} holds no model; expected the folder of a finished run")
        _check_run_tokenizer(Path(recipe.init_from), manifest)
    else:
        source, key = str(recipe.model.name), "model.name"
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{key}: cannot load {source!r}: {' '.join(str(error).split())[:200]}") from None
    if config.model_type != MODEL_TYPE:
        raise InputError(f"{key}: {source} is a {config.model_type} model; this trainer takes {MODEL_TYPE}")
    if recipe.model.name is not None:
        _check_model_tokenizer(source, manifest)
    if config.vocab_size < manifest.tokenizer.vocab_size:
        raise InputError(f"{key}: {source} has {config.vocab_size} word embeddings, the shards' tokenizer "
                         f"{manifest.tokenizer.vocab_size} entries; build the shards with the model's own tokenizer")
    if config.max_position_embeddings < max_length + config.pad_token_id + 1:
        raise InputError(f"{key}: {source} takes inputs of {config.max_position_embeddings - config.pad_token_id - 1} "
                         f"tokens, max_length is {max_length}; set data.max_length lower")
    return config, {key: source}


def _apply(config: Any, recipe: Recipe, manifest: Manifest) -> None:
    """Put labels and dropout into the configuration, where transformers looks for them."""
    if manifest.labels:
        config.id2label = dict(enumerate(manifest.labels))
        config.label2id = {label: index for index, label in enumerate(manifest.labels)}
    if recipe.model.dropout is not None:
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = recipe.model.dropout
        config.classifier_dropout = recipe.model.dropout


def _check_run_tokenizer(run: Path, manifest: Manifest) -> None:
    try:
        record = json.loads((run / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"init_from: {run / RECORD} cannot be read; expected the folder of a finished run") from None
    found = record.get("tokenizer", {}).get("fingerprint")
    if found is not None and found != manifest.tokenizer.fingerprint:
        raise InputError(f"init_from: {run} was trained with tokenizer {found[:12]}, the shards were built with "
                         f"{manifest.tokenizer.fingerprint[:12]}; build them with the same tokenizer")


def _check_model_tokenizer(source: str, manifest: Manifest) -> None:
    """Refuse shards made with another tokenizer; a model folder without one is taken at its vocabulary's size."""
    try:
        if Path(source).is_dir() and not any((Path(source) / file).is_file() for file in TOKENIZER_FILES):
            raise OSError("transformers would make one up")
        found = tokenizer_fingerprint(AutoTokenizer.from_pretrained(source, trust_remote_code=False))
    except (OSError, ValueError, AttributeError):
        print(f"warning: {source} has no tokenizer to compare with the shards'", file=sys.stderr)
        return
    if found != manifest.tokenizer.fingerprint:
        raise InputError(f"model.name: {source} has tokenizer {found[:12]}, the shards were built with "
                         f"{manifest.tokenizer.fingerprint[:12]} ({manifest.tokenizer.name}); build them again")
