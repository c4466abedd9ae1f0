"""Takes the encoder over from an intermediate run: all of it or nothing, and says which keys were dropped.

Input: a transformers folder (an earlier run's `best/`). Effect: the encoder weights of the new model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedModel

from data_prep.base.errors import InputError


def transfer_encoder(folder: Path, model: PreTrainedModel) -> dict[str, Any]:
    """Load the encoder weights in `folder` into `model`; its head keeps its fresh weights.

    Returns {"encoder_keys": number taken over, "dropped_keys": the old head's, "new_keys": the new head's}.
    Raises InputError where a weight of the encoder is missing, left over, or of another shape: a partial load would
    train, silently, from a half-random model.
    """
    weights = folder / "model.safetensors"
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
