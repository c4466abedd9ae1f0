"""Builds the model of a run: weights from the hub, a folder, an earlier run, or at random.

Inputs: recipe, the manifest of the training cells. Output: a transformers model with the head of the task's kind.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, XLMRobertaConfig

from data_prep.base.errors import InputError
from data_prep.shards.manifest import Manifest
from data_prep.shards.tokenizers import read_tokenizer, tokenizer_fingerprint
from trainer.config.load import read_yaml
from trainer.config.schema import Recipe
from trainer.kinds import HEADS
from trainer.model.classes import fit_classes
from trainer.model.pretrained import PREFIX, load_model, read_config
from trainer.model.transfer import transfer_encoder
from trainer.runs.folder import BEST, CONFIG, DONE, FAILED, RECORD, run_dir_of
from trainer.runs.record import read_record

# Hidden size, layers, heads, feed-forward width. `tiny` is for laptops and tests, the others are XLM-R's own shapes.
SIZES = {"tiny": (64, 2, 4, 128), "base": (768, 12, 12, 3072), "large": (1024, 24, 16, 4096)}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "sentencepiece.bpe.model")


def build_model(recipe: Recipe, manifest: Manifest, max_length: int) -> tuple[PreTrainedModel, dict[str, Any]]:
    """(model, what was loaded and what was dropped) for `recipe`; random parts are a function of its seed.

    Raises InputError for a model of another family, another tokenizer or vocabulary than the shards', or a folder
    that is not there.
    """
    config, origin = _configuration(recipe, manifest, max_length)
    classes = dict(config.id2label)
    _apply(config, recipe, manifest)
    auto_class: Any = HEADS[manifest.kind].auto_class
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
    """(model, new keys, dropped keys); a head of another shape is dropped, an encoder that is not whole is refused."""
    model, info = load_model(auto_class, name, config, "model.name", ignore_mismatched_sizes=True)
    misshaped = {key for key, *_ in info["mismatched_keys"]}
    new, dropped = misshaped | set(info["missing_keys"]), misshaped | set(info["unexpected_keys"])
    if broken := sorted(key for key in new if key.startswith(PREFIX)):
        raise InputError(f"model.name: {len(broken)} encoder weights of {name} are missing or misshaped, "
                         f"e.g. {broken[0]}")
    # Poolers and stored position numbers are often left over; a layer is not: the configuration would cut the encoder.
    if left := sorted(key for key in dropped if key.removeprefix(PREFIX).startswith("encoder.layer.")):
        raise InputError(f"model.name: {len(left)} encoder weights of {name} have no place in a model of its "
                         f"config.json, e.g. {left[0]}")
    return model, new, dropped


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
        _check_no_circle(recipe)
        source, key = str(Path(recipe.init_from) / BEST), "init_from"
        if not (Path(source) / "config.json").is_file():
            raise InputError(f"init_from: {source} holds no model; expected the folder of a finished run")
        _check_run_tokenizer(Path(recipe.init_from), manifest)
        _check_run_ended(Path(recipe.init_from))
    else:
        source, key = str(recipe.model.name), "model.name"
    config = read_config(source, key)
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


def _check_no_circle(recipe: Recipe) -> None:
    """Refuse a run that starts from itself, directly or through the origins that its ancestors' recipes name."""
    seen = [os.path.realpath(run_dir_of(recipe))]
    origin: Any = recipe.init_from
    while isinstance(origin, str):
        folder = os.path.realpath(origin)
        if folder in seen:
            raise InputError(f"init_from: {' -> '.join([*seen, folder])} starts from itself; give another run, or "
                             "another name to this one")
        seen.append(folder)
        try:
            origin = read_yaml(Path(folder) / CONFIG).get("init_from")
        except InputError:  # an origin without its recipe, which is not needed
            return


def _check_run_ended(run: Path) -> None:
    """Refuse a run that is still under way: its best checkpoint may yet be replaced."""
    record = read_record(run)
    if not (run / DONE).is_file() and (record is None or record.status not in FAILED):
        raise InputError(f"init_from: {run} is not a finished run (no {DONE}); run `python -m trainer train` to its "
                         "end first")


def _check_run_tokenizer(run: Path, manifest: Manifest) -> None:
    record = read_record(run)
    if record is None:
        raise InputError(f"init_from: {run / RECORD} cannot be read; expected the record of a finished run")
    if (found := record.tokenizer.fingerprint) != manifest.tokenizer.fingerprint:
        raise InputError(f"init_from: {run} was trained with tokenizer {found[:12]}, the shards were built with "
                         f"{manifest.tokenizer.fingerprint[:12]}; build them with the same tokenizer")


def _check_model_tokenizer(source: str, manifest: Manifest) -> None:
    """Refuse shards made with another tokenizer; a model folder without one is taken at its vocabulary's size."""
    try:
        if Path(source).is_dir() and not any((Path(source) / file).is_file() for file in TOKENIZER_FILES):
            raise OSError("transformers would make one up")
        found = tokenizer_fingerprint(read_tokenizer(source))
    except (OSError, AttributeError):
        print(f"warning: {source} has no tokenizer to compare with the shards'", file=sys.stderr)
        return
    except ValueError as error:
        raise InputError(f"model.name: the tokenizer of {source} cannot be read ({error}); copy the folder again"
                         ) from None
    if found != manifest.tokenizer.fingerprint:
        raise InputError(f"model.name: {source} has tokenizer {found[:12]}, the shards were built with "
                         f"{manifest.tokenizer.fingerprint[:12]} ({manifest.tokenizer.name}); build them again")
