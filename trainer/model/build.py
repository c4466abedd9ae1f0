"""Construction of a run's model: weights from the hub, a folder, an earlier run, or at random.

Inputs: recipe, the manifest of the training cells of each task. Output: a transformers model with the head of the
task's kind, or one per task, on one encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from data_prep.base.errors import InputError
from data_prep.shards.manifest import Manifest
from trainer.config.schema import ModelSection, Recipe
from trainer.kinds import KINDS
from trainer.model.classes import fit_classes
from trainer.model.compiled import compile_layers
from trainer.model.cpu import fit_to_cpu
from trainer.model.encoders import FAMILIES, RANDOM, Family
from trainer.model.folder import Found, check_not_a_pickle, locate
from trainer.model.heads import share_encoder
from trainer.model.pretrained import check_tokenizer, load_model, read_config
from trainer.model.transfer import check_origin, transfer_encoder
from trainer.runs.folder import BEST, run_dir_of
from trainer.runs.record import read_record

OF_HEADS = ("new_keys", "dropped_keys", "reordered_keys", "head_rows", "classes")
"""Entries of an origin that are about a head."""


def build_models(
    recipe: Recipe, manifests: Mapping[str, Manifest], max_length: int
) -> tuple[dict[str, PreTrainedModel], dict[str, Any]]:
    """(models by task, which share the encoder of the first; origin of their weights); raises as `build_model`.

    The origin is that of the first; those of the other heads are its `heads`, by task.
    """
    models: dict[str, PreTrainedModel] = {}
    origin: dict[str, Any] = {}
    for number, (task, manifest) in enumerate(manifests.items()):
        models[task], found = build_model(recipe, manifest, max_length, number)
        if number:
            share_encoder(next(iter(models.values())), models[task])
            heads = origin.setdefault("heads", {})
            heads[task] = {key: value for key, value in found.items() if key in OF_HEADS}
        else:
            origin = found
    return models, origin


def build_model(
    recipe: Recipe, manifest: Manifest, max_length: int, number: int = 0
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """(model, origin of its weights: source, loaded, new and dropped keys); random parts are a function of the seed,
    or of `model.head_seed`.

    number: of the task, among several; heads of the same shape are drawn apart.

    Raises InputError for a model of an unknown family, another tokenizer or vocabulary than the shards', or a missing
    folder.
    """
    found = _find(recipe, manifest)
    if found is None:
        config, origin = _random_configuration(recipe.model, manifest, max_length)
    else:
        config, origin = _configuration(recipe, manifest, max_length, found)
    kind, family = KINDS[manifest.kind], FAMILIES[config.model_type]
    _check_family(family, config, recipe, manifest)
    classes = dict(config.id2label)
    _apply(config, recipe, manifest, family)
    auto_class: Any = family.auto_class(kind.head)
    # Of a trained encoder, only new parts keep what is drawn here.
    seed = recipe.seed if recipe.model.head_seed is None else recipe.model.head_seed
    torch.manual_seed(seed if number == 0 else hash((seed, number)) & (2**63 - 1))
    if found is not None and recipe.model.name is not None:
        model, new, dropped = load_weights(auto_class, found.folder, config, kind.head)
        fitted = fit_classes(model, classes, manifest, new)
        redrawn = fitted.pop("redrawn_keys", [])
        origin |= {"new_keys": sorted(new | set(redrawn)), "dropped_keys": sorted(dropped | set(redrawn)), **fitted}
    else:
        model = auto_class.from_config(config)
        if found is not None:
            origin |= transfer_encoder(found.folder, model, kind.head)
    fit_to_cpu(model, recipe.engine.precision)
    if recipe.engine.compile:
        compile_layers(model)
    if recipe.model.freeze_word_embeddings:
        model.get_input_embeddings().weight.requires_grad_(False)
    if recipe.model.gradient_checkpointing:
        if not model.supports_gradient_checkpointing:
            raise InputError(f"model.gradient_checkpointing: transformers has none for {config.model_type}; set it to "
                             "false")
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    return model, origin


def load_weights(auto_class: Any, folder: Path, config: Any, head: str) -> tuple[PreTrainedModel, set[str], set[str]]:
    """(model, new keys, dropped keys); a head of another shape is dropped, an incomplete encoder is refused."""
    model, info = load_model(auto_class, str(folder), config, "model.name", ignore_mismatched_sizes=True)
    family = FAMILIES[config.model_type]
    misshaped = {key for key, *_ in info["mismatched_keys"]}
    new, dropped = misshaped | set(info["missing_keys"]), misshaped | set(info["unexpected_keys"])
    if broken := sorted(key for key in new if family.in_encoder(key, head)):
        raise InputError(f"model.name: {len(broken)} encoder weights of {folder} are missing or misshaped, "
                         f"e.g. {broken[0]}")
    # Poolers and stored position numbers are often left over; a layer is not: the configuration would cut the encoder.
    if left := sorted(key for key in dropped if key.removeprefix(family.prefix).startswith(family.layers)):
        raise InputError(f"model.name: {len(left)} encoder weights of {folder} have no place in a model of its "
                         f"config.json, e.g. {left[0]}")
    return model, new, dropped


def _find(recipe: Recipe, manifest: Manifest) -> Found | None:
    """The model that training begins with; None with random weights.

    A name on the hub leads to the commit that the run began with, whatever its branch has come to since.
    """
    if recipe.init_from is not None:
        check_origin(recipe, manifest)
        return Found(Path(recipe.init_from) / BEST)
    if (name := recipe.model.name) is None:
        return None
    record, revision = read_record(run_dir_of(recipe)), recipe.model.revision
    if record is not None and record.weights_from.get("model.name") == name and not Path(name).is_dir():
        revision = record.weights_from.get("commit", revision)
    found = locate(name, "model.name", revision)
    check_not_a_pickle(found, name, "model.name", recipe.model.revision)
    return found


def _configuration(recipe: Recipe, manifest: Manifest, max_length: int, found: Found) -> tuple[Any, dict[str, Any]]:
    """(configuration, origin by its key in the recipe)."""
    tokenizer = manifest.tokenizer
    source, key = recipe.model.name or str(found.folder), "init_from" if recipe.model.name is None else "model.name"
    config = read_config(found.folder, key)
    if recipe.model.name is not None:
        check_tokenizer(str(found.folder), manifest)
    if config.vocab_size < tokenizer.vocab_size:
        raise InputError(f"{key}: {source} has {config.vocab_size} word embeddings, the shards' tokenizer "
                         f"{tokenizer.vocab_size} entries; build the shards with the model's own tokenizer")
    if (longest := FAMILIES[config.model_type].max_length(config)) < max_length:
        raise InputError(f"{key}: {source} takes inputs of {longest} tokens, max_length is {max_length}; set "
                         "data.max_length lower")
    return config, {key: source} | ({"commit": found.commit} if found.commit is not None else {})


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
    types, highest = family.token_types(config), tokenizer.template.highest_type
    if types is not None and types <= highest:  # of the shards' tokenizer, which the model has no other
        config.type_vocab_size = highest + 1
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
    outputs = KINDS[manifest.kind].outputs
    config.problem_type = KINDS[manifest.kind].problem_type
    if outputs is not None:
        config.num_labels = outputs
    elif manifest.labels:
        config.id2label = dict(enumerate(manifest.labels))
        config.label2id = {label: index for index, label in enumerate(manifest.labels)}
    else:
        config.num_labels = 2  # transformers' default, not the number of classes of the model that was loaded
    if recipe.model.dropout is not None:
        for setting in family.dropout_settings:
            setattr(config, setting, recipe.model.dropout)
