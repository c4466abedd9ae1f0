"""Contract of an encoder family: all that sets its architecture apart from other families'.

A model is a plain transformers model, an encoder with a head. A family takes the encoder's forward pass apart, so that
a perturbation can enter at word embeddings, embeddings or a layer's output, and says which settings, weights and heads
transformers gives the architecture. To add one: a file beside this one with a `Family`, and a line in FAMILIES.
Shapes: B batch, L length, H width, P predictions, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import transformers
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from transformers import AutoConfig

from data_prep.base.errors import InputError
from trainer.kinds.batch import Batch

TokenId = Annotated[int, Field(ge=0, lt=2**24)]


class ConfigBounds(BaseModel):
    """Settings that are read of a family's config.json, within bounds; what is left out could name code to be fetched.

    The bounds are far beyond any model that was trained, and far below what hangs. Names are those of transformers.
    """

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    vocab_size: int = Field(ge=1, le=2**24)
    hidden_size: int = Field(ge=1, le=2**16)
    num_hidden_layers: int = Field(ge=1, le=1000)
    id2label: dict[int, str] | None = Field(default=None, min_length=1, max_length=100_000)


@dataclass(frozen=True)
class Head:
    """transformers' own head of a family's models for one task."""

    logits: Callable[[Any, Tensor, Batch], Tensor]
    """(model, hidden states, batch) -> logits: (B, L, H) to (B, C) for a sequence classifier, to (B, L, C) for a token
    classifier, to (B, L, 2), start and end, for question answering; (P, H) to (P, V) for a masked language model."""
    output_layer: str
    """Name of its last linear layer: one row per class, or per token of the vocabulary."""
    dropout: str | None = None
    """Setting of its own dropout rate, whose None means that of hidden states."""
    inside_encoder: tuple[str, ...] = ()
    """Starts of the names, after the prefix, of its weights that transformers keeps in the encoder (BERT's pooler). An
    encoder saved without them is complete, and they are drawn anew."""
    auto_class: str | None = None
    """Auto class that loads and saves the model where transformers has none of the head's name for the architecture:
    another one with a layer of the same shape (a token classifier of two classes for question answering)."""


@dataclass(frozen=True)
class Family:
    """One architecture; a value, not a base class. `config` is transformers' configuration of a model."""

    model_type: str
    """transformers' name of the architecture, in `config.json` and as the key in FAMILIES."""
    prefix: str
    """Start of the encoder's weight names in a model with a head; an encoder saved without a head has none."""
    layers: str
    """Start of the layers' weight names, after the prefix."""
    heads: Mapping[str, Head]
    """Heads by the name of the transformers Auto class that loads them, as in a kind of task."""
    config_bounds: type[ConfigBounds]
    sizes: Mapping[str, Mapping[str, int]]
    """Random models, by the name that a recipe gives them: settings of each shape."""
    random_settings: Callable[[int, int], dict[str, Any]]
    """(longest input in tokens, padding id) -> settings of a random model beside its shape and vocabulary."""
    identity: tuple[str, ...]
    """Settings that shape outputs or new weights, dropout rates apart."""
    dropouts: Mapping[str, str]
    """Part of the encoder -> setting of its dropout rate; the first is that of hidden states, or of what is nearest."""
    max_length: Callable[[Any], int]
    """(config) -> longest input in tokens."""
    token_types: Callable[[Any], int | None]
    """(config) -> number of token types; None if the encoder ignores them."""
    shapes: Callable[[Any], dict[str, tuple[int, ...]]]
    """(settings within bounds) -> shapes of some weights, by their names after the prefix, that betray a configuration
    of another model: the vocabulary, the positions, the last layer."""
    words: Callable[[Any, Batch], Tensor]
    """(encoder, batch) -> (B, L, H) word vectors, to which a perturbation at `word_embeddings` is added."""
    embed: Callable[[Any, Tensor, Batch], Tensor]
    """(encoder, word vectors, batch) -> (B, L, H) output of the embedding block, i.e. the input of layer 1: absolute
    positions, token types, normalisation, dropout."""
    run: Callable[[Any, Tensor, Batch, int, int], Tensor]
    """(encoder, x_BLH, batch, first, last) -> (B, L, H) output of layer `last`, where x is that of layer `first`; x if
    they are equal. Owns masks, rotary and relative positions and local windows; a norm after the last layer counts as
    part of that layer."""
    languages: Callable[[Any], Mapping[str, int] | None] = lambda config: None
    """(config) -> row of its language embeddings by language, ISO code without script; None if it has none."""
    told_by_weights: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Start of a weight's name -> settings of a config.json that leaves them out and has such a weight beside it."""
    pretrained_head: tuple[str, ...] = ()
    """Starts of the names of weights beside the encoder that every head has and pre-training has trained (ModernBERT's
    dense layer and norm); a run from an earlier one takes them over, as loading a pre-trained model does."""
    refused_precisions: Mapping[str, str] = field(default_factory=dict)
    """Precision that the architecture does not work in -> reason."""

    def auto_class(self, head: str) -> Any:
        """The transformers class that loads and saves a model with this head."""
        return getattr(transformers, self.heads[head].auto_class or head)

    @property
    def dropout_settings(self) -> tuple[str, ...]:
        """Settings of all dropout rates, heads' own included."""
        return (*self.dropouts.values(), *(head.dropout for head in self.heads.values() if head.dropout is not None))

    def describe(self, config: Any, head: str) -> tuple[float, dict[str, Any]]:
        """(first dropout rate, settings in `identity` and other rates) of a model with `head`.

        A rate that equals the first is None.
        """
        first, *others = self.dropouts.items()
        hidden: float = getattr(config, first[1])
        settings = dict(others)
        if (own := self.heads[head].dropout) is not None:
            settings["classifier"] = own
        rates = {part: getattr(config, setting, None) for part, setting in settings.items()}
        return hidden, {name: getattr(config, name) for name in self.identity} | {
            part: None if rate == hidden else rate for part, rate in rates.items()}

    def random_config(self, size: str, vocab_size: int, max_length: int, *, pad_id: int, **settings: Any) -> Any:
        """Configuration of a random model of `size`, a key of `sizes`, for inputs of up to `max_length` tokens.

        settings: further ones, under transformers' names; they take precedence.
        """
        given = {"vocab_size": vocab_size, "pad_token_id": pad_id, **self.sizes[size],
                 **self.random_settings(max_length, pad_id), **settings}
        return AutoConfig.for_model(self.model_type, **given)

    def check_precision(self, precision: str, key: str) -> None:
        """Raise InputError for a precision that the architecture does not work in; `key` names it in the message."""
        if precision in self.refused_precisions:
            raise InputError(f"{key} {precision}: {self.model_type} {self.refused_precisions[precision]}; "
                             "choose another")

    def in_a_head(self, name: str) -> bool:
        """True if a weight of this name, in the encoder's name space, belongs to one of the heads."""
        return any(not self.in_encoder(name, head) for head in self.heads)

    def in_encoder(self, name: str, head: str) -> bool:
        """True if a weight of this name belongs to the encoder proper of a model with `head`."""
        bare = name.removeprefix(self.prefix)
        return bare != name and not bare.startswith(self.heads[head].inside_encoder)
