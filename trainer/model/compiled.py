"""torch.compile of an encoder's layers, in place: names of weights and the saved model stay as they are."""

from __future__ import annotations

from transformers import PreTrainedModel

from trainer.model.encoders import FAMILIES


def compile_layers(model: PreTrainedModel) -> None:
    """Compile every layer of the encoder for all batches at once: rows and lengths are symbols in the compiled code.

    Layers of one shape share the code; passes with gradients, without, and evaluation compile once each. Of XLM, whose
    layers are lists of parts, attention alone is compiled.
    """
    layers = FAMILIES[model.config.model_type].layers.removesuffix(".")
    for layer in model.base_model.get_submodule(layers).children():
        layer.compile(dynamic=True)
