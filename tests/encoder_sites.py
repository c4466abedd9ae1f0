"""Modules of transformers' encoders whose outputs are the perturbation sites, and the inputs of transformers' own
forward pass: the tests' own lists, per model type."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from data_prep.shards.template import InputTemplate
from tests.random_cells import PLAIN, TYPED, VOCABULARY
from trainer.kinds.batch import Batch
from trainer.model.encoders import FAMILIES


@dataclass(frozen=True)
class SiteModules:
    """Names below the encoder."""

    words: str
    embeddings: str
    layers: str
    norm: str = ""  # after the last layer
    convolution: str = ""  # after the first, in models that have one

    def module(self, model: Any, site: str) -> nn.Module:
        """The module of `model` whose output is the site; after the last layer, its norm."""
        encoder: nn.Module = model.base_model
        if not site.startswith("layer:"):
            return encoder.get_submodule(self.words if site == "word_embeddings" else self.embeddings)
        number = int(site.removeprefix("layer:"))
        if number == 1 and self.convolution and getattr(model.config, "conv_kernel_size", 0):
            return encoder.get_submodule(self.convolution)
        last = number == model.config.num_hidden_layers
        return encoder.get_submodule(self.norm if last and self.norm else f"{self.layers}.{number - 1}")


BERT = SiteModules("embeddings.word_embeddings", "embeddings", "encoder.layer")
NOT_CHECKPOINTED = {"xlm"}
"""Model types without gradient checkpointing in transformers."""
SITES: dict[str, SiteModules] = {
    "xlm-roberta": BERT,
    "xlm-roberta-xl": replace(BERT, norm="encoder.LayerNorm"),
    "bert": BERT,
    "deberta-v2": replace(BERT, convolution="encoder.conv"),
    "modernbert": SiteModules("embeddings.tok_embeddings", "embeddings", "layers", norm="final_norm"),
    "eurobert": SiteModules("embed_tokens", "embed_tokens", "layers", norm="norm"),
    "gte": SiteModules("embeddings.word_embeddings", "embeddings", "layers"),
    "xlm": SiteModules("embeddings", "layer_norm_emb", "layer_norm2"),
}


def site_module(model: Any, site: str) -> nn.Module:
    """The module of a transformers model whose output is the site."""
    return SITES[model.config.model_type].module(model, site)


def template_of(family: str) -> InputTemplate:
    """A template as of the family's tokenizers: with a second token type if its models have one."""
    types = FAMILIES[family].token_types(FAMILIES[family].random_config("tiny", VOCABULARY, 24, pad_id=1))
    return TYPED if (types or 0) > 1 else PLAIN


def inputs_of(model: Any, batch: Batch) -> dict[str, Tensor]:
    """Arguments of a transformers model's own forward pass: ids, mask and, if it has any, token types and languages."""
    given = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask.long()}
    if getattr(model.config, "type_vocab_size", 0):
        given["token_type_ids"] = batch.token_types
    if getattr(model.config, "use_lang_emb", False):
        given["langs"] = language_ids(model.config.lang2id, batch)
    return given


def language_ids(lang2id: dict[str, int], batch: Batch) -> Tensor:
    """(B, L) ids of the languages, whose codes are read back from their numbers; 0 on padding."""
    assert batch.languages is not None
    codes = [[number.to_bytes(7, "big").strip(b"\0").decode() for number in row] for row in batch.languages.tolist()]
    return torch.tensor([[lang2id[code] if code else 0 for code in row] for row in codes])


def output_of(output: Any) -> Tensor:
    """Hidden states in what a module returns."""
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden


@contextmanager
def added(module: nn.Module, delta: Tensor) -> Iterator[None]:
    """Within, the module's output is moved by delta: a perturbation by a hook, independent of the product."""
    def move(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        return (output[0] + delta, *output[1:]) if isinstance(output, tuple) else output + delta

    handle = module.register_forward_hook(move)
    try:
        yield
    finally:
        handle.remove()
