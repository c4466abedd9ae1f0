"""torch.compile of an encoder's layers, in place: names of weights and the saved model stay as they are."""

from __future__ import annotations

from transformers import PreTrainedModel

from data_prep.base.errors import InputError
from trainer.model.encoders import FAMILIES


def compile_layers(model: PreTrainedModel) -> None:
    """Compile every layer of the encoder for all batches at once: rows and lengths are symbols in the compiled code.

    Layers of one shape share the code; a passage with gradients, one without, and evaluation compile once each. Raises
    InputError for XLM, whose layers are spread over several lists of parts.
    """
    family = FAMILIES[model.config.model_type]
    if family.model_type == "xlm":
        raise InputError("engine.compile: the layers of xlm cannot be compiled; remove it")
    for layer in model.base_model.get_submodule(family.layers.removesuffix(".")).children():
        layer.compile(dynamic=True)
