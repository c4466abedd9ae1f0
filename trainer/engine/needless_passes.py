"""Passes over all gradients that DeepSpeed's ZeRO 1 and 2 make without need: left out.

Where most weights are word embeddings, such passes take as long as the model's forward and backward passes:

- every rank divides its gradients by 1 where the norm is within the bound, and looks for numbers that are not finite
  before it takes the norm, which is not finite then;
- one rank copies all gradients into a bucket, divides them by 1, reduces them with nobody and copies them back, then
  copies them into its partition, which is all of them.

What is replaced here is private to DeepSpeed 0.19.8, which requirements.txt pins.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


def skip_needless_passes(optimizer: Any, world_size: int) -> None:
    """Replace methods of `optimizer`, a DeepSpeedZeroOptimizer (ZeRO 1 and 2) that is not offloaded."""
    clip = optimizer.unscale_and_clip_grads

    def clip_where_needed(gradients: list[Tensor], norm: Tensor) -> None:
        if optimizer.loss_scale != 1.0 or not 0.0 <= float(norm) <= optimizer.clip_grad - 1e-6:
            clip(gradients, norm)

    optimizer.unscale_and_clip_grads = clip_where_needed
    optimizer.check_overflow = lambda partition_gradients=True: None  # `step` refuses a norm that is not finite
    if world_size == 1:
        def keep(weight: nn.Parameter, group: int) -> None:
            _keep_gradient(optimizer, weight, group)

        optimizer.process_gradients = keep
        optimizer.reduce_ready_partitions_and_remove_grads = keep


def _keep_gradient(optimizer: Any, weight: nn.Parameter, group: int) -> None:
    """Add a gradient to the partition where that sums in fp32 (`grad_accum_dtype`); leave it where it is otherwise."""
    optimizer.setup_buckets()
    if weight.grad is None:
        return
    total = optimizer._get_compact_grad_partition_slice(group, 0, optimizer.get_param_id(weight), weight.numel())
    if total is not None:
        total.add_(weight.grad.view(-1))
        weight.grad = None
