"""The recipe's optimiser, and the course of its learning rate."""

from __future__ import annotations

import torch
from torch import nn

from trainer.config.schema import OptimizerSection, ScheduleSection


def build_optimizer(model: nn.Module, section: OptimizerSection) -> torch.optim.Optimizer:
    """The recipe's optimiser over the trainable parameters; matrices decay, biases and LayerNorm do not."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": section.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    if section.name == "sgd":
        return torch.optim.SGD(groups, lr=section.lr)
    return torch.optim.AdamW(
        groups, lr=section.lr, betas=(section.beta1, section.beta2), eps=section.eps, fused=section.fused)


class learning_rate_course:
    """Factor on the peak learning rate before update `done` + 1: linear warm-up, then linear decay or constant."""

    def __init__(self, schedule: ScheduleSection, updates: int) -> None:
        self.updates = updates
        self.warmup = round(schedule.warmup_ratio * updates)
        self.decays = schedule.decay == "linear"

    def __call__(self, done: int) -> float:
        """1 at the end of the warm-up; the first update already moves, the last one does too."""
        if done < self.warmup:
            return (done + 1) / (self.warmup + 1)
        if not self.decays:
            return 1.0
        return max(0.0, (self.updates - done) / max(1, self.updates - self.warmup))
