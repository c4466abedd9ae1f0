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


def transfer_encoder(folder: Path, model: PreTrainedModel) -> dict[str, Any]:
    """Load the encoder weights in `folder` into `model`; its head keeps its fresh weights.

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
    prefix = f"{model.base_model_prefix}."
    encoder = {key: value for key, value in old.items() if key.startswith(prefix)}
    new = model.state_dict()
    wanted = {key for key in new if key.startswith(prefix)}
    if missing := sorted(wanted - encoder.keys()):
        raise InputError(f"{weights}: {len(missing)} encoder weights are missing, e.g. {missing[0]}")
    if left := sorted(encoder.keys() - wanted):
        raise InputError(f"{weights}: {len(left)} encoder weights have no place here, e.g. {left[0]}")
    for key in sorted(wanted):
        if encoder[key].shape != new[key].shape:
            found, expected = tuple(encoder[key].shape), tuple(new[key].shape)
            raise InputError(f"{weights}: {key} has shape {found}, expected {expected}")
    with torch.no_grad():
        for key, value in encoder.items():
            new[key].copy_(value)
    return {
        "encoder_keys": len(encoder),
        "dropped_keys": sorted(key for key in old if not key.startswith(prefix)),
        "new_keys": sorted(key for key in new if not key.startswith(prefix)),
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
