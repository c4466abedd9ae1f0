"""Class order of a finished classifier: the rows of its head are put into the order of the task's labels, by name.

Input: a loaded model and what its configuration calls its classes. Effect: its last layer, in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import torch
from torch import nn

from data_prep.shards.manifest import Manifest
from trainer.kinds import KINDS
from trainer.model.encoders import FAMILIES


def fit_classes(model: Any, names: Mapping[int, str], manifest: Manifest, new: Set[str]) -> dict[str, Any]:
    """Put the rows of `model`'s output layer into the order of the labels of `manifest`.

    names: class names of the loaded model; new: keys of `model` that were not loaded. Where the names are not the
    task's labels (`LABEL_0` is not), or part of the layer is new, the meaning of the rows is unknown, and the layer is
    drawn anew from torch's generator, as transformers draws it. Returns, of a layer that is kept, the loaded row of
    each label as `head_rows`; of one that is changed, the model's classes as `classes` and the keys as `reordered_keys`
    or `redrawn_keys`; {} for a new one.
    """
    if not manifest.labels or KINDS[manifest.kind].outputs is not None:
        return {}
    output = FAMILIES[model.config.model_type].heads[KINDS[manifest.kind].head].output_layer
    layer: nn.Linear = model.get_submodule(output)
    keys = sorted(f"{output}.{part}" for part, _ in layer.named_parameters())
    if new >= set(keys):
        return {}
    classes = [names.get(row, "") for row in range(len(names))]
    order = None if new & set(keys) else label_order(classes, manifest)
    if order == list(range(layer.out_features)):
        return {"head_rows": order}
    if order is None:
        _redraw(model, output)
        return {"classes": classes, "redrawn_keys": keys}
    with torch.no_grad():
        for weight in layer.parameters():
            weight.copy_(weight[order])
    return {"head_rows": order, "classes": classes, "reordered_keys": keys}


def _redraw(model: Any, name: str) -> None:
    """Draw the layer `name` of a loaded model anew, as transformers draws a head that a file lacks."""
    for weight in model.get_submodule(name).parameters():
        weight._is_hf_initialized = False
    parts = name.split(".")
    for depth in range(len(parts) + 1):  # some architectures initialise a layer where they do the model around it
        model.get_submodule(".".join(parts[:depth]))._is_hf_initialized = False
    model.initialize_weights()  # of what is not marked as initialised


def label_order(names: Sequence[str], manifest: Manifest) -> list[int] | None:
    """For each label of `manifest`, the position in `names` of its name; None where they are not the same classes.

    The labels themselves, in their order, always match. Otherwise case, spaces, `-` and `_` are ignored, and the
    manifest's `label_aliases` count (`contradictory`).
    """
    if list(names) == manifest.labels:
        return list(range(len(names)))
    index = {label: at for at, label in enumerate(manifest.labels)}
    spellings = {_plain(alias): index[label] for alias, label in manifest.label_aliases.items()}
    spellings |= {_plain(label): at for label, at in index.items()}
    meant = [spellings.get(_plain(name), -1) for name in names]
    if sorted(meant) != list(range(len(manifest.labels))):
        return None
    return [meant.index(at) for at in index.values()]


def _plain(name: str) -> str:
    return "_".join(name.casefold().replace("-", " ").replace("_", " ").split())
