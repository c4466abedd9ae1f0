"""Every encoder family in the engine: weights sharded at ZeRO 3, and buffers in half precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from data_prep.shards.read import open_cell
from tests.trainer.small_runs import PGD, ZERO3, run, weights_of
from trainer.data.loader import Examples
from trainer.engine.engine import Engine
from trainer.model.encoders import FAMILIES


def buffers_of(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: buffer for name, buffer in model.named_buffers() if buffer.is_floating_point()}


def has_rotary_positions(name: str) -> bool:
    with torch.device("meta"):
        return bool(buffers_of(AutoModelForSequenceClassification.from_config(
            FAMILIES[name].random_config("tiny", 60, 24, pad_id=1))))


ROTARY = [name for name in FAMILIES if has_rotary_positions(name)]


@pytest.mark.parametrize("name", FAMILIES)
def test_sharded_weights_train_as_whole_ones(recipe: Path, name: str) -> None:
    """No weight is read where ZeRO-3 has not gathered it."""
    settings = {"model.family": name, **PGD, "robust.ascent_steps": "1", "robust.site": "layer:1",
                "optimizer.name": "sgd", "optimizer.lr": "0.1", "schedule.max_steps": "2", "engine.config": "zero0"}
    whole, sharded = weights_of(run(recipe, "whole", settings)), weights_of(run(recipe, "sharded", settings | ZERO3))
    assert whole.keys() == sharded.keys()
    for key, value in whole.items():
        torch.testing.assert_close(sharded[key], value, rtol=1e-5, atol=1e-6, msg=key)


@pytest.mark.parametrize("engine", [{"engine.config": "zero1"}, ZERO3], ids=["zero1", "zero3"])
@pytest.mark.parametrize("name", ROTARY)
def test_rotary_frequencies_keep_their_precision(
    recipe: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, engine: dict[str, str],
) -> None:
    """In a bf16 engine they are fp32 numbers, as in transformers' bf16 model, and so the logits are the same."""
    batch = Examples([open_cell(shards / "xnli/train/en")], 24)[0, np.arange(8)]
    start, found = Engine.__init__, {}

    def build(self: Engine, model: Any, *args: Any, **kwargs: Any) -> None:
        torch.manual_seed(0)
        with torch.no_grad():  # larger weights, so that positions count
            for parameter in model.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
        model.model.save_pretrained(tmp_path / "start")
        start(self, model, *args, **kwargs)
        with torch.no_grad():
            found["logits"] = self.module.eval()(batch).float()
        found.update(buffers_of(self.module.model))
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "__init__", build)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, "half", {"model.family": name, "engine.precision": "bf16", **engine})
    theirs = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "start", dtype=torch.bfloat16, attn_implementation="eager").eval()  # as ours on a CPU
    for key, value in buffers_of(theirs).items():
        assert value.dtype == found[key].dtype == torch.float32
        assert torch.equal(found[key], value), key
    if engine == ZERO3:  # whose linear layers round elsewhere
        return
    given = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask.long()}
    with torch.no_grad():
        logits, rounded = theirs(**given).logits.float(), theirs.bfloat16()(**given).logits.float()
    torch.testing.assert_close(found["logits"], logits, rtol=0, atol=1e-3)
    assert (rounded - logits).abs().max() > 1e-2, "bf16 frequencies would show"
