"""Heads of several tasks on one encoder: transformers' own models, which share the modules of the first one's encoder.

A model keeps the parts of its head, those that transformers puts into the encoder (BERT's pooler) included, and takes
all other parts of its encoder from the first. So each of them saves, loads and exports as transformers' own.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from data_prep.base.errors import InputError
from trainer.model.encoders import FAMILIES
from trainer.runs.folder import WEIGHTS


def share_encoder(first: Any, other: Any) -> None:
    """Replace the encoder of `other` by that of `first`; both are of one family and configuration.

    Output matrices that are tied to the word table are tied to the shared one.
    """
    for name, part in _encoder_parts(first):
        setattr(other.base_model, name, part)
    other.tie_weights()


def own_parts(model: Any) -> nn.ModuleDict:
    """The parts of `model` outside the shared encoder, by name."""
    inside = {name for name, _ in _encoder_parts(model)}
    beside = [(name, part) for name, part in model.named_children() if part is not model.base_model]
    return nn.ModuleDict({f"{name}_part": part for name, part in [
        *beside, *((name, part) for name, part in model.base_model.named_children() if name not in inside)]})


def save_head(model: Any, weights: dict[str, Tensor], folder: Path) -> None:
    """Write the configuration of `model` and its own weights, by the names of `own_keys`, to a new folder."""
    folder.mkdir(parents=True)
    config = copy.deepcopy(model.config)
    config.dtype = next(iter(weights.values())).dtype
    config.save_pretrained(folder)
    save_file({name: weight.contiguous() for name, weight in weights.items()}, folder / WEIGHTS)


def load_head(first: Any, config: Any, auto_class: Any, file: Path) -> PreTrainedModel:
    """The model of `config` with the encoder of `first` and the head in `file`, which `save_head` wrote.

    Raises InputError where the file cannot be read or holds other weights than the head's.
    """
    try:
        weights = load_file(str(file))
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{file}: not readable ({error}); copy the run's folder again") from None
    with torch.device("meta"):  # neither memory nor time for an encoder that is replaced
        model: PreTrainedModel = auto_class.from_config(config)
    share_encoder(first, model)
    expected = {key: model.state_dict()[key].shape for key in own_keys(model)}
    if wrong := sorted(key for key in {**expected, **weights}
                       if key not in weights or expected.get(key) != weights[key].shape):
        raise InputError(f"{file}: {len(wrong)} weights of the head are missing or have no place, e.g. {wrong[0]}; "
                         "copy the run's folder again")
    model.load_state_dict({key: weight.to(first.dtype) for key, weight in weights.items()}, strict=False, assign=True)
    model.tie_weights()
    model.eval()
    return model


def own_weights(model: Any) -> list[nn.Parameter]:
    """Trainable weights that `model` does not share."""
    shared = _shared_weights(model)
    return [weight for weight in model.parameters() if weight.requires_grad and id(weight) not in shared]


def own_keys(model: Any) -> list[str]:
    """Names in `model`'s state of the weights and buffers that it does not share, each once if tied."""
    family, seen = FAMILIES[model.config.model_type], _shared_weights(model)
    keys = []
    for key, value in model.state_dict(keep_vars=True).items():
        if id(value) not in seen and (not key.startswith(family.prefix) or family.in_a_head(key)):
            keys.append(key)
        seen.add(id(value))
    return keys


def _shared_weights(model: Any) -> set[int]:
    """Ids of the weights of the encoder that models share."""
    return {id(weight) for _, part in _encoder_parts(model) for weight in part.parameters()}


def _encoder_parts(model: Any) -> Iterator[tuple[str, nn.Module]]:
    """Children of the encoder that are in no head."""
    family = FAMILIES[model.config.model_type]
    inside = {start for head in family.heads.values() for start in head.inside_encoder}
    for name, part in model.base_model.named_children():
        if f"{name}." not in inside:
            yield name, part
