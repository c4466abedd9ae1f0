"""One rank without ZeRO: gradients are measured, clipped and dropped here instead of by DeepSpeed, as torch does it."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.small_runs import launcher_variables_kept
from trainer.config.schema import BatchSection, EngineSection, OptimizerSection, ScheduleSection
from trainer.distributed.ranks import find_ranks
from trainer.engine.engine import Engine, start_distributed
from trainer.engine.optimizer import build_optimizer

STEPS = 3


class TwoHeads(nn.Module):
    """A model of which a part is never reached."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(6, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.used(x)
        return out


@pytest.mark.parametrize("max_grad_norm", [None, 0.01, 2.0, 1e5])
def test_updates_are_those_of_torch(max_grad_norm: float | None) -> None:
    torch.manual_seed(0)
    model, inputs = TwoHeads(), [torch.randn(5, 6) * 10 for _ in range(STEPS)]
    section = OptimizerSection(lr=0.1, weight_decay=0.5, max_grad_norm=max_grad_norm)
    expected, norms = copy.deepcopy(model), []
    optimizer = build_optimizer(expected, section)
    for x in inputs:
        expected(x).square().mean().backward()
        for weight in expected.unused.parameters():
            weight.grad = torch.zeros_like(weight)
        norms.append(float(nn.utils.clip_grad_norm_(expected.parameters(), max_grad_norm or math.inf)))
        optimizer.step()
        optimizer.zero_grad()

    with launcher_variables_kept():
        ranks = find_ranks()
        start_distributed(ranks)
        engine = Engine(model, ranks, STEPS, engine=EngineSection(config="zero0"), batch=BatchSection(size=5),
                        optimizer=section, schedule=ScheduleSection(max_steps=STEPS, warmup_ratio=0, decay="constant"))
        for x, norm in zip(inputs, norms, strict=True):
            engine.backward(engine(x).square().mean(), last=True)
            assert engine.step()
            assert engine.gradient_norm == pytest.approx(norm, rel=1e-6)
            assert all(weight.grad is None for weight in model.parameters())
        before = copy.deepcopy(model)
        engine.backward(engine(inputs[0] * math.inf).square().mean(), last=True)
        assert not engine.step()
        engine.close()
    assert min(norms) > 0.01
    assert norms[0] > 2.0
    for (name, found), wanted, same in zip(
            model.named_parameters(), expected.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-7, msg=name)
        assert torch.equal(found, same), f"{name} moved in a step whose loss is not finite"
