"""Time of a step from FLOPs, bytes and rates, and the bytes that ranks exchange at each ZeRO stage.

Volumes are those of ring algorithms (Rajbhandari et al. 2020, arXiv 1910.02054, section 7): of a buffer of S bytes over
N ranks, each rank sends S (N - 1) / N in a reduce-scatter or an all-gather, and twice that in an all-reduce. A ring
enters and leaves every node once, so a node's network carries as much as one rank sends.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from trainer.kinds import Kind
from trainer.kinds.batch import Batch
from trainer.model.cpu import fit_to_cpu
from trainer.model.site import SiteModel
from trainer.robust.settings import MethodSettings
from trainer.size.machine import now
from trainer.size.memory import BYTES, FP32, MOMENTS, PERSISTENCE, Plan
from trainer.size.passes import DTYPES, PassCost, Weight, run_on_paper

MEASURED_FLOPS = {"cpu": 2e10, "cuda": 4e12}  # at least a tenth of a second of work, at most a few seconds
# Reads and writes of a number per weight in AdamW's step: in one pass, or operator by operator; and of plain SGD.
OPTIMIZER_ACCESSES = {("adamw", True): 7, ("adamw", False): 20, ("sgd", True): 3, ("sgd", False): 3}


def traffic_of(weights: Sequence[Weight], cost: PassCost, plan: Plan, reduced_in_fp32: bool) -> dict[str, int]:
    """Bytes that a rank sends in a step, by what for."""
    trainable = sum(weight.numel for weight in weights if weight.trainable)
    b, n = BYTES[plan.precision], plan.ranks
    gradients = (FP32 if reduced_in_fp32 else b) * trainable
    found = {"gradients": gradients * {0: 2, 1: 1, 2: plan.accumulation, 3: plan.accumulation}[plan.stage]}
    if plan.stage in (1, 2):
        found["weights"] = b * trainable
    if plan.stage == 3:
        threshold = int(plan.zero.get("stage3_param_persistence_threshold", PERSISTENCE))
        parted = {weight.name for weight in weights if weight.numel > threshold}
        found["gathers"] = b * plan.accumulation * sum(
            numel for name, numel in cost.gathered_numel.items() if name in parted)
    return {name: volume * (n - 1) // n for name, volume in found.items()}


def optimizer_bytes(weights: Sequence[Weight], plan: Plan) -> int:
    """Bytes that a rank's optimiser reads and writes in a step."""
    trainable = sum(weight.numel for weight in weights if weight.trainable)
    share = trainable // (plan.ranks if plan.stage else 1)
    return FP32 * share * OPTIMIZER_ACCESSES[plan.optimizer, plan.fused or not MOMENTS[plan.optimizer]]


def measure_flops(config: Any, auto_class: Any, kind: Kind, batch: Batch, plain: MethodSettings, precision: str,
                  device: torch.device) -> float:
    """FLOP/s of a plain pass, forward and backward, through one layer of the model: products and all between them."""
    one = copy.deepcopy(config)
    one.num_hidden_layers = 1
    for setting in ("layer_types",):  # of families that list them
        if isinstance(listed := getattr(one, setting, None), list):
            setattr(one, setting, listed[:1])
    _, cost = run_on_paper(one, auto_class, kind, batch, plain, precision, checkpointing=False, frozen_words=True)
    rows = max(1, min(len(batch.input_ids), int(len(batch.input_ids) * MEASURED_FLOPS[device.type] / cost.flops)))
    part = batch.map(lambda tensor: tensor[:rows]).to(device)
    model = auto_class.from_config(one, dtype=DTYPES[precision])
    model.get_input_embeddings().weight.requires_grad_(False)
    fit_to_cpu(model, precision)
    site_model = SiteModel(model, kind, "word_embeddings").to(device).train()
    seconds = []
    for _ in range(4):
        start = now(device)
        kind.losses(site_model(part), part).sum().backward()
        seconds.append(now(device) - start)
        site_model.zero_grad()
    return cost.flops * rows / len(batch.input_ids) / statistics.median(seconds[1:])


def seconds_of(flops: int, optimizer: int, traffic: Mapping[str, int], flops_per_second: float,
               bytes_per_second: float, sent_per_second: float | None) -> tuple[float, float | None]:
    """(seconds of a step without communication, seconds of communication), the latter None without a rate."""
    sent = sum(traffic.values())
    return (flops / flops_per_second + optimizer / bytes_per_second,
            0.0 if not sent else None if sent_per_second is None else sent / sent_per_second)
