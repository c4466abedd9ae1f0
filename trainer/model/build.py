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
from trainer.config.schema import ModelSection, Recipe
from trainer.kinds import KINDS
from trainer.model.classes import fit_classes
from trainer.model.encoders import FAMILIES, RANDOM, Family
from trainer.model.pretrained import check_tokenizer, load_model, read_config
from trainer.model.transfer import check_origin, transfer_encoder
from trainer.runs.folder import BEST


def build_model(recipe: Recipe, manifest: Manifest, max_length: int) -> tuple[PreTrainedModel, dict[str, Any]]:
    """(model, origin of its weights: source, loaded, new and dropped keys); random parts are a function of the seed.

    Raises InputError for a model of an unknown family, another tokenizer or vocabulary than the shards', or a missing
    folder.
    """
    config, origin = _configuration(recipe, manifest, max_length)
    kind, family = KINDS[manifest.kind], FAMILIES[config.model_type]
    _check_family(family, config, recipe, manifest)
    classes = dict(config.id2label)
    _apply(config, recipe, manifest, family)
    auto_class: Any = kind.auto_class
    torch.manual_seed(recipe.seed)
    if recipe.model.name is not None:
        model, new, dropped = _load_weights(auto_class, recipe.model.name, config, kind.head)
        fitted = fit_classes(model, classes, manifest, new)
        redrawn = fitted.pop("redrawn_keys", [])
        origin |= {"new_keys": sorted(new | set(redrawn)), "dropped_keys": sorted(dropped | set(redrawn)), **fitted}
    else:
        model = auto_class.from_config(config)
        if recipe.init_from is not None:
            origin |= transfer_encoder(Path(recipe.init_from) / BEST, model, kind.head)
    if recipe.model.freeze_word_embeddings:
        model.get_input_embeddings().weight.requires_grad_(False)
    if recipe.model.gradient_checkpointing:
        if not model.supports_gradient_checkpointing:
            raise InputError(f"model.gradient_checkpointing: transformers has none for {config.model_type}; set it to "
                             "false")
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    return model, origin


def _load_weights(auto_class: Any, name: str, config: Any, head: str) -> tuple[PreTrainedModel, set[str], set[str]]:
    """(model, new keys, dropped keys); a head of another shape is dropped, an incomplete encoder is refused."""
    model, info = load_model(auto_class, name, config, "model.name", ignore_mismatched_sizes=True)
    family = FAMILIES[config.model_type]
    misshaped = {key for key, *_ in info["mismatched_keys"]}
    new, dropped = misshaped | set(info["missing_keys"]), misshaped | set(info["unexpected_keys"])
    if broken := sorted(key for key in new if family.in_encoder(key, head)):
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
        return _random_configuration(recipe.model, manifest, max_length)
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


def _random_configuration(section: ModelSection, manifest: Manifest, max_length: int) -> tuple[Any, dict[str, Any]]:
    if (family := FAMILIES.get(section.family or RANDOM.model_type)) is None or section.random not in family.sizes:
        known = "; ".join(f"{name}: {', '.join(one.sizes)}" for name, one in FAMILIES.items())
        raise InputError(f"model.family {section.family}, model.random {section.random}: no such model; known: {known}")
    tokenizer = manifest.tokenizer
    ends = {"bos_token_id": tokenizer.cls_id, "cls_token_id": tokenizer.cls_id,
            "eos_token_id": tokenizer.sep_id, "sep_token_id": tokenizer.sep_id, "mask_token_id": tokenizer.mask_id}
    config = family.random_config(
        str(section.random), tokenizer.vocab_size, max_length, pad_id=tokenizer.pad_id,
        **{name: token for name, token in ends.items() if name in family.config_bounds.model_fields})
    return config, {"random": section.random, "family": family.model_type}


def _check_family(family: Family, config: Any, recipe: Recipe, manifest: Manifest) -> None:
    """Refuse a task, token types or a precision that the architecture has no head, vectors or range for."""
    if KINDS[manifest.kind].head not in family.heads:
        raise InputError(f"model: {family.model_type} has no head for tasks of kind {manifest.kind}; its heads: "
                         f"{', '.join(family.heads)}")
    types, highest = family.token_types(config), manifest.tokenizer.template.highest_type
    if types is not None and highest >= types:
        raise InputError(f"model: {family.model_type} with {types} token types, but the shards' tokenizer gives the "
                         f"second text type {highest}; build the shards with the model's own tokenizer")
    family.check_precision(recipe.engine.precision, "engine.precision")


def _apply(config: Any, recipe: Recipe, manifest: Manifest, family: Family) -> None:
    """Put labels and dropout into the configuration, where transformers looks for them."""
    if manifest.labels:
        config.id2label = dict(enumerate(manifest.labels))
        config.label2id = {label: index for index, label in enumerate(manifest.labels)}
    if recipe.model.dropout is not None:
        for setting in family.dropout_settings:
            setattr(config, setting, recipe.model.dropout)
