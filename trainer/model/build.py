"""Construction of a run's model: weights from the hub, a folder, an earlier run, or at random.

Inputs: recipe, the manifest of the training cells. Output: a transformers model with the head of the task's kind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from data_prep.base.errors import InputError
from data_prep.shards.manifest import Manifest
from trainer.config.schema import Recipe
from trainer.kinds import KINDS
from trainer.model.classes import fit_classes
from trainer.model.encoders import FAMILIES, RANDOM
from trainer.model.pretrained import check_tokenizer, load_model, read_config
from trainer.model.transfer import check_origin, transfer_encoder
from trainer.runs.folder import BEST


def build_model(recipe: Recipe, manifest: Manifest, max_length: int) -> tuple[PreTrainedModel, dict[str, Any]]:
    """(model, origin of its weights: source, loaded, new and dropped keys); random parts are a function of the seed.

    Raises InputError for a model of an unknown family, another tokenizer or vocabulary than the shards', or a missing
    folder.
    """
    config, origin = _configuration(recipe, manifest, max_length)
    kind = KINDS[manifest.kind]
    if kind.head not in FAMILIES[config.model_type].heads:
        raise InputError(f"model: {config.model_type} has no head for tasks of kind {manifest.kind}; its heads: "
                         f"{', '.join(FAMILIES[config.model_type].heads)}")
    classes = dict(config.id2label)
    _apply(config, recipe, manifest)
    auto_class: Any = kind.auto_class
    torch.manual_seed(recipe.seed)
    if recipe.model.name is not None:
        model, new, dropped = _load_weights(auto_class, recipe.model.name, config)
        fitted = fit_classes(model, classes, manifest, new)
        redrawn = fitted.pop("redrawn_keys", [])
        origin |= {"new_keys": sorted(new | set(redrawn)), "dropped_keys": sorted(dropped | set(redrawn)), **fitted}
    else:
        model = auto_class.from_config(config)
        if recipe.init_from is not None:
            origin |= transfer_encoder(Path(recipe.init_from) / BEST, model)
    if recipe.model.freeze_word_embeddings:
        model.get_input_embeddings().weight.requires_grad_(False)
    if recipe.model.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model, origin


def _load_weights(auto_class: Any, name: str, config: Any) -> tuple[PreTrainedModel, set[str], set[str]]:
    """(model, new keys, dropped keys); a head of another shape is dropped, an incomplete encoder is refused."""
    model, info = load_model(auto_class, name, config, "model.name", ignore_mismatched_sizes=True)
    family = FAMILIES[config.model_type]
    misshaped = {key for key, *_ in info["mismatched_keys"]}
    new, dropped = misshaped | set(info["missing_keys"]), misshaped | set(info["unexpected_keys"])
    if broken := sorted(key for key in new if key.startswith(family.prefix)):
        raise InputError(f"model.name: {len(broken)} encoder weights of {name} are missing or misshaped, "
                         f"e.g. {broken[0]}")
    # Poolers and stored position numbers are often left over; a layer is not: the configuration would cut the encoder.
    if left := sorted(key for key in dropped if key.removeprefix(family.prefix).startswith(family.layers)):
        raise InputError(f"model.name: {len(left)} encoder weights of {name} have no place in a model of its "
                         f"config.json, e.g. {left[0]}")
    return model, new, dropped


def _configuration(recipe: Recipe, manifest: Manifest, max_length: int) -> tuple[Any, dict[str, Any]]:
    """(configuration, origin by its key in the recipe)."""
    tokenizer = manifest.tokenizer
    if recipe.model.random is not None:
        config = RANDOM.random_config(
            recipe.model.random, tokenizer.vocab_size, max_length, pad_id=tokenizer.pad_id,
            bos_token_id=tokenizer.cls_id, eos_token_id=tokenizer.sep_id)
        return config, {"random": recipe.model.random}
    if recipe.init_from is not None:
        check_origin(recipe, manifest)
        source, key = str(Path(recipe.init_from) / BEST), "init_from"
    else:
        source, key = str(recipe.model.name), "model.name"
    config = read_config(source, key)
    if recipe.model.name is not None:
        check_tokenizer(source, manifest)
    if config.vocab_size < tokenizer.vocab_size:
        raise InputError(f"{key}: {source} has {config.vocab_size} word embeddings, the shards' tokenizer "
                         f"{tokenizer.vocab_size} entries; build the shards with the model's own tokenizer")
    if (longest := FAMILIES[config.model_type].max_length(config)) < max_length:
        raise InputError(f"{key}: {source} takes inputs of {longest} tokens, max_length is {max_length}; set "
                         "data.max_length lower")
    return config, {key: source}


def _apply(config: Any, recipe: Recipe, manifest: Manifest) -> None:
    """Put labels and dropout into the configuration, where transformers looks for them."""
    if manifest.labels:
        config.id2label = dict(enumerate(manifest.labels))
        config.label2id = {label: index for index, label in enumerate(manifest.labels)}
    if recipe.model.dropout is not None:
        for setting in FAMILIES[config.model_type].dropout_settings:
            setattr(config, setting, recipe.model.dropout)
