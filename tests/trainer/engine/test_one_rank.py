"""One rank at ZeRO 0 to 3: gradients are added up, measured, clipped and dropped as in a loop of plain torch."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.small_runs import launcher_variables_kept
from trainer.config.schema import BatchSection, EngineSection, OptimizerSection, ScheduleSection
from trainer.distributed.ranks import find_ranks
from trainer.engine.ds_config import read_engine_config
from trainer.engine.engine import Engine, start_distributed
from trainer.engine.optimizer import build_optimizer

STEPS = 3


class TwoHeads(nn.Module):
    """A model of which a part is never reached, and two weights are a single number."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(6, 4), nn.Linear(4, 2)
        self.first, self.second = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.used(x * self.first) * self.second
        return out


def loss_of(model: Any, x: Tensor, share: int) -> Tensor:
    out: Tensor = model(x).float().square().mean() / share
    return out


def train_with_torch(
    model: nn.Module, steps: list[list[Tensor]], section: OptimizerSection, passes: torch.dtype, sums: torch.dtype
) -> list[float]:
    """Train the fp32 weights of `model`, with passes, and sums of gradients over them, in these types; the norms."""
    optimizer, norms = build_optimizer(model, section), []
    for micro_batches in steps:
        total = [torch.zeros_like(weight, dtype=sums) for weight in model.parameters()]
        for x in micro_batches:
            worker = copy.deepcopy(model).to(passes)
            worker.zero_grad()
            loss_of(worker, x.to(passes), len(micro_batches)).backward()
            for part, weight in zip(total, worker.parameters(), strict=True):
                if weight.grad is not None:
                    part += weight.grad
        for part, weight in zip(total, model.parameters(), strict=True):
            weight.grad = part.float()
        norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), section.max_grad_norm or math.inf)))
        optimizer.step()
    return norms


@pytest.mark.parametrize(("max_grad_norm", "accumulation"), [(None, 2), (0.01, 1), (2.0, 2), (1e5, 1)])
@pytest.mark.parametrize(("config", "precision", "sums"), [
    ("zero0", "fp32", None), ("zero1", "fp32", None), ("zero2", "fp32", None), ("zero2_offload", "fp32", None),
    ("zero3", "fp32", None), ("zero1", "bf16", None), ("zero1", "bf16", "fp32"), ("zero2", "bf16", None),
    ("zero2", "bf16", "fp32")])
def test_updates_are_those_of_torch(
    config: str, precision: Literal["fp32", "bf16"], sums: str | None, max_grad_norm: float | None, accumulation: int,
    tmp_path: Path,
) -> None:
    if sums is not None:
        settings = read_engine_config(config) | {
            "data_types": {"grad_accum_dtype": sums}, "communication_data_type": sums}  # else ZeRO 1 rounds the sum
        config = str(tmp_path / "sums.json")
        Path(config).write_text(json.dumps(settings), encoding="utf-8")
    torch.manual_seed(0)
    model = TwoHeads().bfloat16().float()  # no digits that DeepSpeed's bf16 copy would not have
    steps = [[torch.randn(5, 6) * 10 for _ in range(accumulation)] for _ in range(STEPS)]
    section = OptimizerSection(lr=0.1, weight_decay=0.5, max_grad_norm=max_grad_norm)
    expected = copy.deepcopy(model)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    norms = train_with_torch(expected, steps, section, dtype, dtype if sums is None else torch.float32)
    assert min(norms) > 0.01
    assert norms[0] > 2.0

    with launcher_variables_kept():
        ranks = find_ranks()
        start_distributed(ranks)
        engine = Engine(model, ranks, STEPS, engine=EngineSection(config=config, precision=precision),
                        batch=BatchSection(size=5 * accumulation, micro_batch_size=5), optimizer=section,
                        schedule=ScheduleSection(max_steps=STEPS, warmup_ratio=0, decay="constant"))

        def update(micro_batches: list[Tensor]) -> bool:
            for number, x in enumerate(micro_batches):
                engine.backward(loss_of(engine, x.to(dtype), accumulation), last=number == accumulation - 1)
            return engine.step()

        for micro_batches, norm in zip(steps, norms, strict=True):
            assert update(micro_batches)
            assert engine.gradient_norm == pytest.approx(norm, rel=1e-6)
            assert all(weight.grad is None for weight in model.parameters())
        before = engine.full_state(model)
        assert not update([x * math.inf for x in steps[0]])
        after = engine.full_state(model)
        engine.close()
    for name, wanted in expected.state_dict().items():
        torch.testing.assert_close(before[name], wanted, rtol=1e-6, atol=1e-7, msg=name)
        assert torch.equal(before[name], after[name]), f"{name} moved in a step whose loss is not finite"
