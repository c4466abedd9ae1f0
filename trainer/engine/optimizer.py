"""The optimiser and its learning-rate schedule."""

from __future__ import annotations

import torch
from torch import nn

from trainer.config.schema import OptimizerSection, ScheduleSection


def build_optimizer(model: nn.Module, section: OptimizerSection) -> torch.optim.Optimizer:
    """Build AdamW or SGD over the trainable parameters; matrices decay, biases and weights of norms do not."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": section.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    if section.name == "sgd":
        return torch.optim.SGD(groups, lr=section.lr)
    return torch.optim.AdamW(
        groups, lr=section.lr, betas=(section.beta1, section.beta2), eps=section.eps, fused=section.fused)


class LinearWarmupSchedule:
    """Factor on the peak learning rate: linear warm-up, then linear decay to zero, or constant."""

    def __init__(self, schedule: ScheduleSection, max_steps: int) -> None:
        self.max_steps = max_steps
        self.warmup_steps = round(schedule.warmup_ratio * max_steps)
        self.decays = schedule.decay == "linear"

    def __call__(self, done: int) -> float:
        """The factor of step `done` + 1; positive from the first to the last step, 1 at the end of the warm-up."""
        if done < self.warmup_steps:
            return (done + 1) / (self.warmup_steps + 1)
        if not self.decays:
            return 1.0
        return max(0.0, (self.max_steps - done) / max(1, self.max_steps - self.warmup_steps))
