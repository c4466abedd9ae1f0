"""Loader of untrusted models: a model folder in (see `folder.locate`), a transformers model out; no code is run.

Only the settings of the model's family are read from `config.json`, within bounds: others could name code, other
repositories or kernels to be fetched. Weights are read from safetensors only, never from pickles, in one file or in
several that an index names. The weight names of an encoder saved without a head lack its family's prefix, which
transformers adds.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import safe_open
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.conversion_mapping import get_checkpoint_conversion_mapping
from transformers.core_model_loading import WeightRenaming, apply_renamings
from transformers.utils import logging as transformers_logging

from data_prep.base.errors import InputError
from data_prep.base.files import first_error
from data_prep.shards.manifest import Manifest
from data_prep.shards.tokenizers import read_tokenizer, tokenizer_fingerprint
from trainer.model.encoders import FAMILIES, Family
from trainer.model.folder import TOKENIZER_FILES, reason, weight_files
from trainer.runs.folder import WEIGHTS_INDEX

_log = logging.getLogger(__name__)


def read_config(folder: str | Path, key: str, check_weights: bool = True) -> Any:
    """transformers' configuration of the model in `folder`; `key` names it in messages.

    Raises InputError for a missing model, an unknown family, a setting out of bounds, and, with `check_weights`, for
    weights of other shapes.
    """
    try:
        if not (Path(folder) / "config.json").is_file():
            raise ValueError("no config.json in this folder")
        content, _ = PreTrainedConfig.get_config_dict(folder)
        if not isinstance(content, dict):
            raise ValueError("config.json holds no settings")
    except Exception as error:  # the file system and the parser each raise their own
        raise InputError(f"{key}: cannot load {str(folder)!r}: {reason(error)}") from None
    if (family := FAMILIES.get(str(content.get("model_type")))) is None:
        hint = ("; a model's own code is never run, look for a checkpoint of it in one of these types"
                if "auto_map" in content else "")
        raise InputError(f"{key}: {folder} is a model of type {str(content.get('model_type'))[:80]!r}; this trainer "
                         f"takes {', '.join(FAMILIES)}{hint}")
    try:
        settings = family.config_bounds.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{key}: {folder}: config.json: {first_error(error, quote=True)}") from None
    names = _check_header(Path(folder), key, family, family.shapes(settings)) if check_weights else set()
    given = settings.model_dump(exclude_none=True)
    for start, told in family.told_by_weights.items():
        if any(name.startswith(start) for name in names):
            given |= {name: value for name, value in told.items() if name not in content}
    if settings.id2label is not None:
        given["label2id"] = {label: index for index, label in settings.id2label.items()}
    return AutoConfig.for_model(family.model_type, **given)


def load_model(
    auto_class: Any, source: str, config: Any, key: str, dtype: torch.dtype = torch.float32,
    **options: Any,
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """(model, transformers' loading report) from the safetensors at `source`; raises InputError on failure."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # the report is the caller's to judge; every rank would print it
    transformers_logging.disable_progress_bar()  # it would tear the lines of training apart
    try:
        model, info = auto_class.from_pretrained(
            source, config=config, output_loading_info=True, trust_remote_code=False, use_safetensors=True, dtype=dtype,
            **options)
    except Exception as error:  # damage in the file, shapes that differ, the hub: each raises its own
        raise InputError(f"{key}: cannot load {source!r}: {reason(error)}") from None
    finally:
        transformers_logging.set_verbosity(verbosity)
    return model, info


def check_tokenizer(source: str, manifest: Manifest) -> None:
    """Refuse a model with another tokenizer than the shards'; a folder without a tokenizer is only warned about."""
    try:
        if Path(source).is_dir() and not any((Path(source) / file).is_file() for file in TOKENIZER_FILES):
            raise OSError("transformers would make one up")
        found = tokenizer_fingerprint(read_tokenizer(source))
    except (OSError, AttributeError):
        _log.warning("%s has no tokenizer to compare with the shards'", source)
        return
    except ValueError as error:
        raise InputError(f"model.name: the tokenizer of {source} cannot be read ({error}); copy the folder again"
                         ) from None
    if found != manifest.tokenizer.fingerprint:
        raise InputError(f"model.name: {source} has tokenizer {found[:12]}, the shards were built with "
                         f"{manifest.tokenizer.fingerprint[:12]} ({manifest.tokenizer.name}); build them again")


def _check_header(folder: Path, key: str, family: Family, expected: dict[str, tuple[int, ...]]) -> set[str]:
    """Refuse a configuration that the weights beside it contradict, before a model of that size is built.

    Returns the names of the weights, without the family's prefix; empty without weights. Refused too: a weight that is
    there twice, in two files or with and without the family's prefix, of which transformers would take either.
    """
    files = weight_files(folder, key)
    if not files:
        return set()
    where = files[0] if len(files) == 1 else folder / WEIGHTS_INDEX
    # Names of older files, which transformers changes when it loads them.
    older = [change for change in get_checkpoint_conversion_mapping(family.model_type) or ()
             if isinstance(change, WeightRenaming)]
    shapes: dict[str, tuple[int, ...]] = {}
    names: set[str] = set()
    for file in files:
        try:
            with safe_open(str(file), framework="pt") as weights:
                for name in weights.keys():  # noqa: SIM118 (no mapping)
                    bare = apply_renamings(name, older).removeprefix(family.prefix)
                    if bare in names:
                        raise InputError(f"{key}: {where}: {bare} is there twice; expected one encoder")
                    names.add(bare)
                    if bare in expected:
                        shapes[bare] = tuple(weights.get_slice(name).get_shape())
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{key}: cannot load {str(file)!r}: {reason(error)}") from None
    for name, shape in expected.items():
        if shapes.get(name) != shape:
            found = f"shape {shapes[name]}" if name in shapes else "missing"
            raise InputError(f"{key}: {where}: {name}: {found}, expected shape {shape} by its config.json")
    return names
