"""Loader of untrusted models: a folder or a name on the hub in, a transformers model out; no code is run.

Only the settings of the model's family are read from `config.json`, within bounds: others could name code, other
repositories or kernels to be fetched. Weights are read from safetensors only, never from pickles, in one file or in
several that an index names. The weight names of an encoder saved without a head lack its family's prefix, which
transformers adds.
"""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import safe_open
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.conversion_mapping import get_checkpoint_conversion_mapping
from transformers.core_model_loading import WeightRenaming, apply_renamings
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from data_prep.base.errors import InputError
from data_prep.base.files import first_error
from data_prep.shards.manifest import Manifest
from data_prep.shards.tokenizers import read_tokenizer, tokenizer_fingerprint
from trainer.model.encoders import FAMILIES, Family
from trainer.runs.folder import WEIGHTS, WEIGHTS_INDEX

FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}\.safetensors")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "sentencepiece.bpe.model")
_log = logging.getLogger(__name__)


def read_config(source: str, key: str) -> Any:
    """transformers' configuration of the model at `source`, a folder or a name on the hub; `key` names it in messages.

    Raises InputError for a missing model, an unknown family, a setting out of bounds, and weights of other shapes.
    """
    try:
        content, _ = PreTrainedConfig.get_config_dict(source)
        if not isinstance(content, dict):
            raise ValueError("config.json holds no settings")
    except Exception as error:  # the hub, the file system and the parser each raise their own
        raise InputError(f"{key}: cannot load {source!r}: {_reason(error)}") from None
    if (family := FAMILIES.get(str(content.get("model_type")))) is None:
        hint = ("; a model's own code is never run, look for a checkpoint of it in one of these types"
                if "auto_map" in content else "")
        raise InputError(f"{key}: {source} is a model of type {str(content.get('model_type'))[:80]!r}; this trainer "
                         f"takes {', '.join(FAMILIES)}{hint}")
    try:
        settings = family.config_bounds.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{key}: {source}: config.json: {first_error(error, quote=True)}") from None
    _check_header(source, key, family, family.shapes(settings))
    given = settings.model_dump(exclude_none=True)
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
        raise InputError(f"{key}: cannot load {source!r}: {_reason(error)}") from None
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


def weight_files(source: str, key: str) -> list[Path]:
    """Weight files of the model folder `source`: one, or those that its index names.

    Empty for a folder without weights (refused when they are loaded) and for a name on the hub, whose index is checked
    all the same. Raises InputError for an index that is damaged or names anything but safetensors beside it.
    """
    folder = Path(source)
    if not folder.is_dir():
        if (found := _index_on_the_hub(source)) is not None:
            _names_in_index(found, key)
        return []
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / WEIGHTS_INDEX).is_file():
        return []
    files = [folder / name for name in _names_in_index(folder / WEIGHTS_INDEX, key)]
    if missing := [file for file in files if not file.is_file()]:
        raise InputError(f"{key}: {missing[0]} is missing, one of {len(files)} files that "
                         f"{folder / WEIGHTS_INDEX} names; copy the folder again")
    return files


def _index_on_the_hub(name: str) -> Path | None:
    """Index of a model on the hub; None if there is none or it cannot be fetched, which loading will report."""
    quiet = ("missing_entries", "gated_repo", "connection_errors")
    try:
        file = cached_file(name, WEIGHTS_INDEX, **{f"_raise_exceptions_for_{what}": False for what in quiet})
    except Exception:  # the hub and the file system each raise their own
        return None
    return Path(file) if file is not None else None


def _names_in_index(index: Path, key: str) -> list[str]:
    """File names in an index of weights, sorted. Raises InputError unless each is a plain `*.safetensors`."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except Exception as error:  # of the parser, or of one that looks for names in something else
        raise InputError(f"{key}: {index} is no index of weights ({_reason(error)}); copy the folder again") from None
    # transformers would follow a path out of the folder, and unpickle what is not called safetensors.
    wrong = [name for name in names if not (isinstance(name, str) and FILE_NAME.fullmatch(name))]
    if wrong or not names:
        what = f"names {str(wrong[0])[:80]!r}" if wrong else "names no file"
        raise InputError(f"{key}: {index} {what}; expected names of .safetensors files in its own folder")
    return names


def _check_header(source: str, key: str, family: Family, expected: dict[str, tuple[int, ...]]) -> None:
    """Refuse a configuration that the weights beside it contradict, before a model of that size is built."""
    files = weight_files(source, key)
    if not files:
        return
    where = str(files[0] if len(files) == 1 else Path(source) / WEIGHTS_INDEX)
    # Names of older files, which transformers changes when it loads them.
    older = [change for change in get_checkpoint_conversion_mapping(family.model_type) or ()
             if isinstance(change, WeightRenaming)]
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        try:
            with safe_open(str(file), framework="pt") as weights:
                names = list(weights.keys())
                shapes |= {bare: tuple(weights.get_slice(name).get_shape()) for name in names
                           if (bare := apply_renamings(name, older).removeprefix(family.prefix)) in expected}
        except Exception as error:
            raise InputError(f"{key}: cannot load {str(file)!r}: {_reason(error)}") from None
    for name, shape in expected.items():
        if shapes.get(name) != shape:
            found = f"shape {shapes[name]}" if name in shapes else "missing"
            raise InputError(f"{key}: {where}: {name}: {found}, expected shape {shape} by its config.json")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
