"""Bytes that a rank holds under a DeepSpeed configuration: what stays between steps, and the peaks on top of it.

What is counted follows DeepSpeed 0.19.8 as this trainer sets it up (`trainer/engine`): at ZeRO 1 to 3 an fp32 master
copy even of fp32 weights, whole communication buckets however small the model, gradients in the weights' precision.
Not counted: CUDA's context, NCCL's buffers, fragmentation. N ranks, P weights, b bytes of the run's precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainer.size.passes import PassCost, Weight

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
FP32 = 4
MOMENTS = {"adamw": 2, "sgd": 0}
ALL_REDUCE_NUMEL = 500_000_000  # DeepSpeed's bucket where there is no ZeRO: a copy of the gradients, in fp32 runs only
# DeepSpeed's defaults of keys that a configuration may leave out.
REDUCE_BUCKET, SUB_GROUP, MAX_LIVE, PERSISTENCE = 500_000_000, 1_000_000_000, 1_000_000_000, 100_000


@dataclass(frozen=True)
class Plan:
    """Settings that decide on the memory, beside the model and the batch."""

    zero: Mapping[str, Any]
    """`zero_optimization` of the DeepSpeed configuration."""
    ranks: int
    precision: str
    optimizer: str
    fused: bool
    accumulation: int
    keeps_average: bool = False
    """The method keeps an EMA of the weights."""
    gpu: bool = False

    @property
    def stage(self) -> int:
        """ZeRO stage."""
        return int(self.zero.get("stage", 0))

    def offloads(self, what: str) -> bool:
        """True if `offload_optimizer` or `offload_param` moves its part off the device."""
        return str((self.zero.get(what) or {}).get("device", "none")) != "none"


@dataclass(frozen=True)
class Memory:
    """Bytes of one rank."""

    device: dict[str, int]
    """Parts that stay on the device from step to step."""
    host: dict[str, int]
    """Parts that stay in host memory."""
    passes: int
    """Peak of ascent and update beyond those."""
    step: int
    """Peak of the optimiser's step beyond those, on the device."""
    host_step: int = 0
    """The same in host memory, where the optimiser is offloaded."""

    @property
    def peak(self) -> int:
        """Most bytes on the device at a time."""
        return sum(self.device.values()) + max(self.passes, self.step)

    @property
    def together(self) -> int:
        """Most bytes at a time where the device is the host."""
        return sum(self.device.values()) + sum(self.host.values()) + max(self.passes, self.step, self.host_step)

    @property
    def host_peak(self) -> int:
        """Most bytes in host memory at a time."""
        return sum(self.host.values()) + self.host_step


def memory_of(weights: Sequence[Weight], cost: PassCost, plan: Plan, table: int = 0) -> Memory:
    """Memory of the rank that holds most. table: numbers of the whole word table, kept where a trimmed one trains."""
    found = (_without_zero, _zero_1_2, _zero_1_2, _zero_3)[plan.stage](weights, cost, plan)
    if plan.keeps_average:
        found.device["average (EMA)"] = FP32 * sum(weight.numel for weight in weights)
    if table:
        found.host["whole word table"] = FP32 * table
    return found


def _numel(weights: Sequence[Weight]) -> tuple[int, int, int]:
    """(trainable, frozen, largest trainable) numbers of elements."""
    trainable = [weight.numel for weight in weights if weight.trainable]
    return sum(trainable), sum(weight.numel for weight in weights) - sum(trainable), max(trainable)


def _adam_temporaries(plan: Plan, whole: int, largest: int) -> int:
    """Elements that an unfused step allocates: two of the largest tensor on CPUs, one of all tensors on CUDA."""
    if plan.fused or plan.optimizer != "adamw":
        return 0
    return whole if plan.gpu else 2 * largest


def _without_zero(weights: Sequence[Weight], cost: PassCost, plan: Plan) -> Memory:
    total, frozen, largest = _numel(weights)
    b = BYTES[plan.precision]
    gradients = b * total
    device = {"weights": b * (total + frozen), "gradients": gradients,
              "moments": MOMENTS[plan.optimizer] * b * total}
    # The first micro-batch of a step finds no gradients yet.
    passes = cost.update_bytes_kept - gradients if plan.accumulation == 1 else cost.update_bytes
    return Memory(device, {}, max(passes, cost.ascent_bytes, b * min(total, ALL_REDUCE_NUMEL)),
                  b * _adam_temporaries(plan, total, largest))


def _zero_1_2(weights: Sequence[Weight], cost: PassCost, plan: Plan) -> Memory:
    total, frozen, largest = _numel(weights)
    b, share = BYTES[plan.precision], -(-total // plan.ranks)
    overlaps = bool(plan.zero.get("overlap_comm"))
    bucket_numel = int(plan.zero.get("reduce_bucket_size", REDUCE_BUCKET))
    bucket = b * bucket_numel * (1 + overlaps)
    owned = b * owned_numel(weights, plan.ranks)
    word = max((weight for weight in weights if weight.trainable), key=lambda weight: weight.numel)
    device = {"weights": b * (total + frozen)}
    state = {"master weights": FP32 * share, "moments": MOMENTS[plan.optimizer] * FP32 * share}
    # Reduced gradients are collected from the first full bucket on; the largest one, of the words, comes last.
    last = cost.bytes_at[word.name]
    passes = max(cost.update_bytes, cost.ascent_bytes, owned + (last if total > bucket_numel else 0))
    host: dict[str, int] = {}
    if plan.offloads("offload_optimizer"):
        host = {**state, "gradients": FP32 * share, "transfer": b * (share + largest)}
        device["transfer"] = b * largest
        if plan.accumulation > 1:
            host["accumulated gradients"] = owned
        elif overlaps and plan.ranks > 1:
            device["gradients"] = owned
        passes = max(cost.update_bytes, cost.ascent_bytes, last + b * largest)  # a copy on its way to the host
        return Memory(device, host, bucket + passes, 0,
                      FP32 * _adam_temporaries(replace(plan, gpu=False), share, share))
    device |= state
    adam = FP32 * (share + _adam_temporaries(plan, share, share))
    if plan.ranks == 1:  # gradients stay where the backward pass leaves them (`engine.needless_passes`)
        adds_up = plan.stage == 1 and plan.accumulation > 1  # each to its sum at once; ZeRO 2 adds a whole pass to it
        passes = max(cost.update_bytes if adds_up else cost.update_bytes_kept, cost.ascent_bytes)
        passes += b * total if plan.accumulation > 1 else 0
        flat = FP32 * share + (0 if plan.precision == "fp32" else b * share)
        return Memory(device, host, bucket + passes, max(owned + flat, adam))
    if plan.stage == 1 and plan.accumulation > 1:
        passes += b * total  # reduced at the end of a step only
    elif overlaps or plan.accumulation > 1:  # the last reduced are held until the next ones are
        device["gradients"] = owned
    return Memory(device, host, bucket + passes, owned + adam)


def owned_numel(weights: Sequence[Weight], ranks: int) -> int:
    """Elements of all weights of which a rank owns a part, for the rank with most: ZeRO 1 and 2 reduce them whole.

    The optimiser's groups (matrices; biases and norms) are laid out one after the other, and cut into equal parts.
    """
    most = [0] * ranks
    for is_matrix in (True, False):
        group = [weight.numel for weight in weights if weight.trainable and (weight.ndim >= 2) == is_matrix]
        part = -(-sum(group) // (2 * ranks)) * 2
        start = 0
        for numel in group:
            for rank in range(start // part, min(ranks - 1, (start + numel - 1) // part) + 1):
                most[rank] += numel
            start += numel
    return max(most)


def _zero_3(weights: Sequence[Weight], cost: PassCost, plan: Plan) -> Memory:
    total, _, _ = _numel(weights)
    b, share = BYTES[plan.precision], -(-total // plan.ranks)
    threshold = int(plan.zero.get("stage3_param_persistence_threshold", PERSISTENCE))
    whole = sum(weight.numel for weight in weights if weight.numel <= threshold)
    parted = [weight for weight in weights if weight.numel > threshold]
    own = -(-sum(weight.numel for weight in parted) // plan.ranks)
    on_host, state_on_host = plan.offloads("offload_param"), plan.offloads("offload_optimizer")
    live = 0
    if plan.ranks > 1 or on_host:  # else DeepSpeed gathers without a copy
        live = min(sum(weight.numel for weight in parted), max(
            int(plan.zero.get("stage3_max_live_parameters", MAX_LIVE)), max((w.numel for w in parted), default=0)))
    bucket_numel = int(plan.zero.get("reduce_bucket_size", REDUCE_BUCKET))
    device = {"weights": b * (whole + (0 if on_host else own)), "buckets": b * bucket_numel}
    host = {"weights": b * own} if on_host else {}
    state = {"master weights": FP32 * share, "moments": MOMENTS[plan.optimizer] * FP32 * share,
             "gradients": b * share}
    last = max((weight for weight in weights if weight.trainable), key=lambda weight: weight.numel)
    # A bucket is copied to be reduced, while the largest gradient, of the words, waits for its place in it.
    copies = cost.bytes_at[last.name] + b * min(total, max(bucket_numel, last.numel))
    passes = max(cost.update_bytes, cost.ascent_bytes, copies) + b * live
    group = min(share, int(plan.zero.get("sub_group_size", SUB_GROUP)))
    if state_on_host:
        host |= {**state, "fp32 gradients": FP32 * share}
        return Memory(device, host, passes, 0,
                      FP32 * _adam_temporaries(replace(plan, gpu=False), group, group))
    return Memory({**device, **state}, host, passes,
                  FP32 * (group + _adam_temporaries(plan, group, group)))
