"""The classes of a finished classifier: rows of its head are put into the order of the task, by their names.

Input: a loaded model and what its configuration calls its classes. Effect: its last layer, in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import torch
from torch import nn

from data_prep.shards.label_order import label_order
from data_prep.shards.manifest import Manifest

OUTPUT = "classifier.out_proj"  # one row per class, in every sequence classifier of this family


def fit_classes(model: Any, names: Mapping[int, str], manifest: Manifest, new: Set[str]) -> dict[str, list[str]]:
    """Give the rows of `model`'s last layer the meaning that the labels of `manifest` have.

    names: what the loaded model calls its classes; new: the keys of `model` that were not loaded, so mean nothing yet.
    Names that are not the task's labels, `LABEL_0` among them, leave the meaning of the rows unknown: the layer is
    drawn anew from torch's generator, as transformers draws it. Returns {} where nothing was to do, else the model's
    classes as `classes` and the keys as `reordered_keys` or `redrawn_keys`.
    """
    keys = sorted(f"{OUTPUT}.{part}" for part in ("weight", "bias"))
    loaded = [key for key in keys if key not in new]
    if not manifest.labels or not loaded:
        return {}
    layer: nn.Linear = model.classifier.out_proj
    classes = [names.get(row, "") for row in range(len(names))]
    order = label_order(classes, manifest)
    if order == list(range(layer.out_features)):
        return {}
    with torch.no_grad():
        if order is None:
            layer.weight.normal_(0.0, model.config.initializer_range)
            layer.bias.zero_()
            return {"classes": classes, "redrawn_keys": keys}
        for key in loaded:
            weight = model.get_parameter(key)
            weight.copy_(weight[order])
    return {"classes": classes, "reordered_keys": loaded}
