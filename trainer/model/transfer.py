"""Start from an earlier run (`init_from`): its whole encoder is loaded, or the run is refused.

Inputs: the recipe, an earlier run's folder, the new model. Effect: the encoder weights of the new model.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedModel

from data_prep.base.errors import InputError
from data_prep.shards.manifest import Manifest
from trainer.config.load import read_yaml
from trainer.config.schema import Recipe
from trainer.model.encoders import FAMILIES
from trainer.runs.folder import BEST, CONFIG, DONE, FAILED, RECORD, WEIGHTS, run_dir_of
from trainer.runs.record import read_record


def check_origin(recipe: Recipe, manifest: Manifest) -> None:
    """Raise InputError unless `init_from` names a run that has ended, of the shards' tokenizer, and not this one."""
    run = Path(str(recipe.init_from))
    _check_no_circle(recipe)
    if not (run / BEST / "config.json").is_file():
        raise InputError(f"init_from: {run / BEST} holds no model; expected the folder of a finished run")
    record = read_record(run)
    if record is None:
        raise InputError(f"init_from: {run / RECORD} cannot be read; expected the record of a finished run")
    if (found := record.tokenizer.fingerprint) != manifest.tokenizer.fingerprint:
        raise InputError(f"init_from: {run} was trained with tokenizer {found[:12]}, the shards were built with "
                         f"{manifest.tokenizer.fingerprint[:12]}; build them with the same tokenizer")
    if not (run / DONE).is_file() and record.status not in FAILED:  # its best checkpoint may yet be replaced
        raise InputError(f"init_from: {run} is not a finished run (no {DONE}); run `python -m trainer train` to its "
                         "end first")


def transfer_encoder(folder: Path, model: PreTrainedModel, head: str) -> dict[str, Any]:
    """Load the encoder weights in `folder` into `model`; its `head` keeps its fresh weights.

    Weights of a head inside the encoder (`Head.inside_encoder`), and those of pre-training beside it
    (`Family.pretrained_head`), are loaded where both have them.

    Returns {"encoder_keys": number of weights loaded, "dropped_keys": the old head's, "new_keys": the new head's}.
    Raises InputError where a weight of the encoder is missing, left over, or of another shape: a partial load would
    train, silently, from a half-random model.
    """
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise InputError(f"{weights} is missing; expected the weights of a finished run")
    try:
        old = load_file(str(weights))
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{weights}: not readable ({error}); expected the weights of a finished run") from None
    family, new = FAMILIES[model.config.model_type], model.state_dict()
    encoder = {key for key in old if key.startswith(family.prefix)}
    wanted = {key for key in new if key.startswith(family.prefix)}
    if missing := sorted(key for key in wanted - encoder if family.in_encoder(key, head)):
        raise InputError(f"{weights}: {len(missing)} encoder weights are missing, e.g. {missing[0]}")
    if left := sorted(key for key in encoder - wanted if not family.in_a_head(key)):
        raise InputError(f"{weights}: {len(left)} encoder weights have no place here, e.g. {left[0]}")
    trained = {key for key in old.keys() & new.keys() if key.startswith(family.pretrained_head)}
    loaded = sorted(encoder & wanted | trained)
    for key in loaded:
        if old[key].shape != new[key].shape:
            found, expected = tuple(old[key].shape), tuple(new[key].shape)
            raise InputError(f"{weights}: {key} has shape {found}, expected {expected}")
    with torch.no_grad():
        for key in loaded:
            new[key].copy_(old[key])
    return {
        "encoder_keys": len(loaded),
        "dropped_keys": sorted(old.keys() - loaded),
        "new_keys": sorted(new.keys() - loaded),
    }


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
