"""Reads models that others may have made: a folder or the hub in, a transformers model out, data only.

Of `config.json` XLM-R's own settings are read and no others, within bounds: what is left out could name code, other
repositories or kernels to be fetched. Weights are read from safetensors only, never from pickles, in one file or in
several that an index names. An encoder saved without a head has no "roberta." before its names; transformers adds it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import safe_open
from transformers import PreTrainedConfig, PreTrainedModel, XLMRobertaConfig
from transformers.utils import cached_file, logging

from data_prep.base.errors import InputError
from data_prep.base.files import first_error

MODEL_TYPE = "xlm-roberta"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PREFIX = "roberta."
FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}\.safetensors")

Share = Annotated[float, Field(ge=0.0, le=1.0)]
TokenId = Annotated[int, Field(ge=0, lt=2**24)]


class _Settings(BaseModel):
    """The settings of an XLM-R model; the bounds are far beyond any that was trained, and far below what hangs."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    vocab_size: int = Field(ge=1, le=2**24)
    hidden_size: int = Field(ge=1, le=2**16)
    num_hidden_layers: int = Field(ge=1, le=1000)
    num_attention_heads: int = Field(ge=1, le=1000)
    intermediate_size: int = Field(ge=1, le=2**18)
    max_position_embeddings: int = Field(ge=3, le=2**20)
    type_vocab_size: int = Field(ge=1, le=100)
    hidden_act: Literal["gelu", "gelu_new", "relu", "silu"] = "gelu"
    layer_norm_eps: float = Field(default=1e-5, gt=0, le=1)
    initializer_range: float = Field(default=0.02, gt=0, le=10)
    hidden_dropout_prob: Share = 0.1
    attention_probs_dropout_prob: Share = 0.1
    classifier_dropout: Share | None = None
    pad_token_id: TokenId = 1
    bos_token_id: TokenId = 0
    eos_token_id: TokenId = 2
    tie_word_embeddings: bool = True
    id2label: dict[int, str] | None = Field(default=None, min_length=1, max_length=100_000)


def read_config(source: str, key: str) -> Any:
    """The XLMRobertaConfig of the model at `source`, a folder or a name on the hub; `key` names it in messages.

    Raises InputError where there is none, it is of another family, or a setting is out of bounds.
    """
    try:
        content, _ = PreTrainedConfig.get_config_dict(source)
        if not isinstance(content, dict):
            raise ValueError("config.json holds no settings")
    except Exception as error:  # the hub, the file system and the parser each raise their own
        raise InputError(f"{key}: cannot load {source!r}: {_reason(error)}") from None
    if (family := content.get("model_type")) != MODEL_TYPE:
        raise InputError(f"{key}: {source} is a {family} model; this trainer takes {MODEL_TYPE}")
    try:
        settings = _Settings.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{key}: {source}: config.json: {first_error(error, quote=True)}") from None
    if settings.hidden_size % settings.num_attention_heads or settings.pad_token_id >= settings.vocab_size:
        raise InputError(f"{key}: {source}: config.json contradicts itself: width {settings.hidden_size}, "
                         f"{settings.num_attention_heads} heads, {settings.vocab_size} tokens, padding "
                         f"{settings.pad_token_id}")
    _check_header(source, key, settings)
    given = settings.model_dump(exclude_none=True)
    if settings.id2label is not None:
        given["label2id"] = {label: index for index, label in settings.id2label.items()}
    return XLMRobertaConfig(**given)


def load_model(
    auto_class: Any, source: str, config: Any, key: str, dtype: torch.dtype = torch.float32,
    **options: Any,
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """(model, transformers' loading report) from the safetensors at `source`. Raises InputError where that fails."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # the report is the caller's to judge; every rank would print it
    logging.disable_progress_bar()  # it would tear the lines of training apart
    try:
        model, info = auto_class.from_pretrained(
            source, config=config, output_loading_info=True, trust_remote_code=False, use_safetensors=True, dtype=dtype,
            **options)
    except Exception as error:  # damage in the file, shapes that differ, the hub: each raises its own
        raise InputError(f"{key}: cannot load {source!r}: {_reason(error)}") from None
    finally:
        logging.set_verbosity(verbosity)
    return model, info


def weight_files(source: str, key: str) -> list[Path]:
    """The files that hold the weights of the model folder `source`: one, or those that its index names.

    Empty for a folder without weights (refused when they are loaded) and for a name on the hub, whose index is looked
    at all the same. Raises InputError for an index that is damaged or names anything but safetensors beside it.
    """
    folder = Path(source)
    if not folder.is_dir():
        if (found := _index_on_the_hub(source)) is not None:
            _names_in_index(found, key)
        return []
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        return []
    files = [folder / name for name in _names_in_index(folder / INDEX, key)]
    if missing := [file for file in files if not file.is_file()]:
        raise InputError(f"{key}: {missing[0]} is missing, one of {len(files)} files that {folder / INDEX} names; copy "
                         "the folder again")
    return files


def _index_on_the_hub(name: str) -> Path | None:
    """The index of a model on the hub that has one; None where that cannot be told, which loading will report."""
    quiet = ("missing_entries", "gated_repo", "connection_errors")
    try:
        file = cached_file(name, INDEX, **{f"_raise_exceptions_for_{what}": False for what in quiet})
    except Exception:  # the hub and the file system each raise their own
        return None
    return Path(file) if file is not None else None


def _names_in_index(index: Path, key: str) -> list[str]:
    """The file names in an index of weights, sorted. Raises InputError unless each is a plain `*.safetensors`."""
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


def _check_header(source: str, key: str, settings: _Settings) -> None:
    """Refuse a configuration that the weights beside it contradict, before a model of that size is built."""
    files = weight_files(source, key)
    if not files:
        return
    layer = f"encoder.layer.{settings.num_hidden_layers - 1}"
    expected = {
        "embeddings.word_embeddings.weight": (settings.vocab_size, settings.hidden_size),
        "embeddings.position_embeddings.weight": (settings.max_position_embeddings, settings.hidden_size),
        f"{layer}.intermediate.dense.weight": (settings.intermediate_size, settings.hidden_size),
    }
    where = str(files[0] if len(files) == 1 else Path(source) / INDEX)
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        try:
            with safe_open(str(file), framework="pt") as weights:
                names = list(weights.keys())
                shapes |= {bare: tuple(weights.get_slice(name).get_shape()) for name in names
                           if (bare := name.removeprefix(PREFIX)) in expected}
        except Exception as error:
            raise InputError(f"{key}: cannot load {str(file)!r}: {_reason(error)}") from None
    for name, shape in expected.items():
        if shapes.get(name) != shape:
            found = f"shape {shapes[name]}" if name in shapes else "missing"
            raise InputError(f"{key}: {where}: {name}: {found}, expected shape {shape} by its config.json")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
