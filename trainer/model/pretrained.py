"""Reads models that others may have made: a folder or the hub in, a transformers model out, data only.

Of `config.json` XLM-R's own settings are read and no others, within bounds: what is left out could name code, other
repositories or kernels to be fetched. Weights are read from safetensors only, never from pickles.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import safe_open
from transformers import PreTrainedConfig, PreTrainedModel, XLMRobertaConfig
from transformers.utils import logging

from data_prep.errors import InputError

MODEL_TYPE = "xlm-roberta"
WEIGHTS = "model.safetensors"

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
        first = error.errors()[0]
        raise InputError(f"{key}: {source}: config.json: {'.'.join(map(str, first['loc']))}: {first['msg']}, found "
                         f"{str(first['input'])[:80]!r}") from None
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
    try:
        model, info = auto_class.from_pretrained(
            source, config=config, output_loading_info=True, trust_remote_code=False, use_safetensors=True, dtype=dtype,
            **options)
    except Exception as error:  # damage in the file, shapes that differ, the hub: each raises its own
        raise InputError(f"{key}: cannot load {source!r}: {_reason(error)}") from None
    finally:
        logging.set_verbosity(verbosity)
    return model, info


def _check_header(source: str, key: str, settings: _Settings) -> None:
    """Refuse a configuration that the weights beside it contradict, before a model of that size is built."""
    file = Path(source) / WEIGHTS
    if not file.is_file():
        return  # on the hub, or in several files; a folder without weights is refused when they are loaded
    prefix = "roberta."
    layer = f"{prefix}encoder.layer.{settings.num_hidden_layers - 1}"
    expected = {
        f"{prefix}embeddings.word_embeddings.weight": (settings.vocab_size, settings.hidden_size),
        f"{prefix}embeddings.position_embeddings.weight": (settings.max_position_embeddings, settings.hidden_size),
        f"{layer}.intermediate.dense.weight": (settings.intermediate_size, settings.hidden_size),
    }
    try:
        with safe_open(str(file), framework="pt") as weights:
            names = set(weights.keys())
            shapes = {name: tuple(weights.get_slice(name).get_shape()) for name in expected if name in names}
    except Exception as error:
        raise InputError(f"{key}: cannot load {str(file)!r}: {_reason(error)}") from None
    for name, shape in expected.items():
        if shapes.get(name) != shape:
            found = f"shape {shapes[name]}" if name in shapes else "missing"
            raise InputError(f"{key}: {file}: {name}: {found}, expected shape {shape} by its config.json")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
