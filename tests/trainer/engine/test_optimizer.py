"""Weight decay: all matrices decay, norms and biases of every family do not."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

from trainer.config.schema import OptimizerSection
from trainer.engine.optimizer import build_optimizer
from trainer.model.encoders import FAMILIES

MATRICES = (nn.Linear, nn.Embedding, nn.Conv1d)


@pytest.mark.parametrize("auto_class", [AutoModelForSequenceClassification, AutoModelForMaskedLM])
@pytest.mark.parametrize("name", FAMILIES)
def test_only_weights_of_linear_layers_and_tables_decay(
    name: str, auto_class: type[AutoModelForSequenceClassification]
) -> None:
    """Judged by the module that a parameter belongs to."""
    with torch.device("meta"):
        model = auto_class.from_config(FAMILIES[name].random_config("tiny", 60, 24, pad_id=1))
    decaying, exempt = build_optimizer(model, OptimizerSection(weight_decay=0.1)).param_groups
    assert (decaying["weight_decay"], exempt["weight_decay"]) == (0.1, 0.0)
    expected = {id(module.weight) for module in model.modules() if isinstance(module, MATRICES)}
    assert {id(weight) for weight in decaying["params"]} == expected
    assert {id(weight) for weight in exempt["params"]} == {id(weight) for weight in model.parameters()} - expected
    norms = [module for module in model.modules() if "norm" in type(module).__name__.lower()]
    assert len(norms) >= 4
    assert {id(weight) for norm in norms for weight in norm.parameters()} <= {id(w) for w in exempt["params"]}
