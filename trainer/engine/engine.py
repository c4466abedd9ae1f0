"""DeepSpeed engine: the only file that uses deepspeed, beside the check of its configurations (`ds_config`).

Inputs: the model, sections of the recipe, `ds_configs/*.json`. The recipe says batch, learning rate and clipping; the
JSON says how to run and holds "auto" for these. Rules that hold at every ZeRO stage:

- ascent gradients come from `autograd.grad` through `module`, which the engine does not see;
- the update's forward goes through the engine, its backward through `backward(loss, last)`;
- the accumulation boundary is always set by hand, since several backwards per micro-batch would otherwise be
  reduced early, and silently wrongly, at ZeRO 1 and 2;
- losses arrive as shares of the global mean, so the engine must not divide by the accumulation steps again.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import distributed_c10d

from data_prep.base.errors import InputError
from trainer.config.schema import BatchSection, EngineSection, OptimizerSection, ScheduleSection
from trainer.distributed.collectives import all_reduce_sum
from trainer.distributed.ranks import Ranks
from trainer.engine.checkpoint_writer import Writer
from trainer.engine.ds_config import auto_values, fill_in, read_engine_config
from trainer.engine.ema import FILE as EMA_FILE
from trainer.engine.ema import WeightEMA
from trainer.engine.needless_passes import skip_needless_passes
from trainer.engine.optimizer import LinearWarmupSchedule, build_optimizer
from trainer.kinds.batch import Batch

os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
logging.getLogger("DeepSpeed").setLevel(logging.ERROR)  # its warnings are for those who write engines
warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed")
import deepspeed  # noqa: E402  (the accelerator must be chosen before)
from deepspeed.runtime import compiler  # noqa: E402
from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler  # noqa: E402
from deepspeed.runtime.zero import stage3, stage_1_and_2  # noqa: E402
from deepspeed.utils import safe_get_full_fp32_param, safe_set_full_fp32_param  # noqa: E402
from deepspeed.utils.tensor_fragment import fragment_address  # noqa: E402
from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint  # noqa: E402

# ZeRO 1 to 3 import Muon whatever the optimiser, and its three compiled functions import inductor: seconds of a start.
_compile, compiler.compile = compiler.compile, lambda: compiler.dummy_decorator
import deepspeed.runtime.zero.muon.original_muon  # noqa: E402

compiler.compile = _compile
# Else ZeRO 1 to 3 take the norm of a copy of every gradient in fp64.
stage3.get_norm_dtype = stage_1_and_2.get_norm_dtype = lambda: torch.float32

MEBIBYTE = 1 << 20
# What DeepSpeed's checkpoints hold beside tensors and plain values.
SAVED_TYPES: list[Any] = [LossScaler, DynamicLossScaler, fragment_address]


def return_freed_memory() -> None:
    """Make the C library return tensors of 4 MiB and more to the system when they are freed.

    glibc starts out so, but after some large frees it keeps blocks of up to 32 MiB in its heap, where weights that ZeRO
    gathers and releases leave holes: 4 GB of them at ZeRO 3 with two ranks of XLM-R large. It costs time (a sixth of
    a step of two layers of XLM-R base), since fresh pages must be faulted in. No effect with another C library.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  (elsewhere the numbers below may mean something else)
        library.mallopt(-3, 4 * MEBIBYTE)  # M_MMAP_THRESHOLD; setting it stops glibc from moving both by itself
        library.mallopt(-1, 64 * MEBIBYTE)  # M_TRIM_THRESHOLD


def check_engine(engine: EngineSection, config: Mapping[str, Any]) -> None:
    """Raise InputError for a precision that would fail during training or silently lose digits, or an idle `compile`.

    A CPU has no fp16. Without ZeRO, DeepSpeed's fp32 copies of half-precision weights cannot be read back (bf16), or
    the optimiser does not move them (fp16); ZeRO 1 costs nothing more on one device, and does both. ZeRO 3 gathers
    weights in hooks of every module, each of which would break a compiled layer.
    """
    precision, stage = engine.precision, int(config.get("zero_optimization", {}).get("stage", 0))
    if engine.compile and stage == 3:
        raise InputError("engine.compile: not at ZeRO 3, which takes weights apart; remove it, or set engine.config to "
                         "zero2")
    if precision != "fp32" and not stage:
        raise InputError(f"engine.precision {precision} needs ZeRO: set engine.config to zero1 (or 2, 3)")
    if precision == "fp16" and not deepspeed.accelerator.get_accelerator().is_fp16_supported():
        raise InputError("engine.precision: this device has no fp16; set it to bf16 or fp32")


def accumulation_steps(batch: BatchSection, world_size: int, parts: int = 1) -> int:
    """Micro-batches per rank that make up a global batch of `parts` (`mixture.tasks_per_step`), a multiple of these.

    Raises InputError where they do not divide it.
    """
    if batch.size % (world_size * parts):
        among = f"{world_size} ranks" + (f" and {parts} parts (mixture.tasks_per_step)" if parts > 1 else "")
        raise InputError(f"batch.size {batch.size} does not divide among {among}; choose a multiple of "
                         f"{'that' if parts == 1 else world_size * parts}")
    share = batch.size // world_size // parts
    micro = share if batch.micro_batch_size is None else batch.micro_batch_size
    if share % micro:
        of = f" over {world_size} ranks" + (f" and {parts} parts, mixture.tasks_per_step" if parts > 1 else "")
        raise InputError(f"batch.micro_batch_size {micro} does not divide a rank's share of {share} examples "
                         f"(batch.size {batch.size}{of})")
    return parts * (share // micro)


class Engine:
    """A DeepSpeed engine behind the operations that the loop and the robust methods need."""

    def __init__(self, model: nn.Module, ranks: Ranks, max_steps: int, *, engine: EngineSection, batch: BatchSection,
                 optimizer: OptimizerSection, schedule: ScheduleSection, background_writes: bool = True,
                 ema_decay: float | None = None, parts: int = 1) -> None:
        """ema_decay: keep an EMA of the weights, for `average_logits`; None keeps none. parts: tasks per step."""
        self.accumulation = accumulation_steps(batch, ranks.world_size, parts)
        values = auto_values(batch.size // (ranks.world_size * self.accumulation), self.accumulation,
                             optimizer.max_grad_norm, engine.precision)
        config = fill_in(read_engine_config(engine.config), values)
        self.stage = int(config.get("zero_optimization", {}).get("stage", 0))
        # The only case in which DeepSpeed does not report the gradient's norm: clipped here (`_clip_gradients`).
        self._clips = self.stage == 0 and engine.precision == "fp32"
        if self._clips:
            config["gradient_clipping"] = 0.0
        self._max_norm = optimizer.max_grad_norm or 0.0
        if self.stage == 3 and not torch.cuda.is_available():
            return_freed_memory()
        self._ema = None if ema_decay is None else WeightEMA(model, ema_decay)
        torch_optimizer = build_optimizer(model, optimizer)
        self._weight_decays = [group["weight_decay"] for group in torch_optimizer.param_groups]
        scheduler = torch.optim.lr_scheduler.LambdaLR(torch_optimizer, LinearWarmupSchedule(schedule, max_steps))
        self._linear = torch.nn.functional.linear
        self._engine, *_ = deepspeed.initialize(
            model=model, optimizer=torch_optimizer, lr_scheduler=scheduler, config=config, dist_init_required=False)
        zero = self._engine.optimizer
        if isinstance(zero, stage_1_and_2.DeepSpeedZeroOptimizer) and not zero.cpu_offload:
            skip_needless_passes(zero, ranks.world_size)
        if self.stage == 3:  # read outside the modules that own them, where a batch does not use their head
            for weight in (weight for own in getattr(model, "own_weights", {}).values() for weight in own):
                deepspeed.zero.register_external_parameter(model, weight)
        _set_collective_timeout(engine.timeout_seconds)
        self.writer = Writer(SAVED_TYPES, background=background_writes)
        self._engine.checkpoint_engine = self.writer
        self._engine._copy_recovery_script = lambda path: None  # a script beside every checkpoint that nobody needs
        # Without ZeRO DeepSpeed copies all gradients into a buffer and back to reduce them, with one rank as well.
        self._reduces = self.stage > 0 or ranks.world_size > 1
        self._engine.enable_backward_allreduce = self._reduces
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if self._clips:
            self._engine.zero_grad = self._drop_gradients  # its own walks through all modules
        self._norm = float("nan")
        self._begins_step = True
        self.ranks = ranks
        self.device: torch.device = self._engine.device
        if self._ema is not None:
            self._ema.to(self.device)

    @property
    def module(self) -> Any:
        """The model, for ascent passes and evaluation: calls through it leave no trace in the engine."""
        return self._engine.module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The update's forward pass, with gradients to the parameters."""
        return self._engine(*args, **kwargs)

    def backward(self, loss: Tensor, last: bool) -> None:
        """Add the gradient of `loss`, a share of the global mean times the number of ranks; `last` ends the step."""
        if self._begins_step:
            self._clear_old_gradients()
        self._begins_step = False
        # A loss that is not finite can have a finite gradient: make sure that `step` sees it, at every stage.
        loss = loss * torch.where(torch.isfinite(loss.detach()), 1.0, float("nan"))
        self._engine.set_gradient_accumulation_boundary(last)
        self._engine.backward(loss, scale_wrt_gas=False)
        if last and not self._reduces:  # weights that no pass reached decay as where gradients are reduced
            for weight in self._trained:
                if weight.grad is None:
                    weight.grad = torch.zeros_like(weight)

    def _clear_old_gradients(self) -> None:
        """Clear the last step's gradients where DeepSpeed relies on the next ones to overwrite them.

        ZeRO-3, and ZeRO-1 and 2 with an offloaded optimiser, let the first backward of a step copy its gradients
        over the old ones, and later ones add. A parameter that the first does not reach would keep the old ones
        (FreeLB reaches those below the site with its last backward only).
        """
        optimizer = self._engine.optimizer
        if self.stage == 3:
            optimizer.grad_partitions_flat_buffer.zero_()
        else:  # a dictionary that is there only where the optimiser is offloaded
            for gradient in getattr(optimizer, "accumulated_grads_in_cpu", {}).values():
                gradient.zero_()

    def step(self) -> bool:
        """Clip, update the parameters, advance the learning rate, and clear the gradients.

        Returns False where NaN or Inf in a loss or gradient made it skip the update: parameters and moments are as
        before. The learning rate advances all the same, so that its course ends with the run.
        """
        applied, optimizer = not self._clips or self._clip_gradients(), self._engine.optimizer
        update = optimizer.step
        if not applied:  # here, without ZeRO, DeepSpeed would not look
            optimizer.step = lambda: None
        self._engine.step()
        optimizer.step = update
        self._begins_step = True
        if not self._clips and not self._engine.was_step_applied():
            applied = False
            self._engine.lr_scheduler.step()
        if self._ema is not None and applied:
            self._ema.update(self._whole_weights())
        return applied

    def _clip_gradients(self) -> bool:
        """Measure the norm of the whole gradient and clip it; returns False where the norm is NaN or Inf.

        DeepSpeed would read the gradient once more, parameter by parameter, and write it even where it is not clipped.
        """
        norm = torch.nn.utils.get_total_norm([weight.grad for weight in self._trained if weight.grad is not None])
        # The same number on all ranks, whose gradients are equal but whose processors may round differently.
        norm = all_reduce_sum(norm, self.ranks) / self.ranks.world_size
        self._norm = float(norm)
        if 0.0 < self._max_norm < self._norm < float("inf"):
            torch.nn.utils.clip_grads_with_norm_(self._trained, self._max_norm, norm)
        return math.isfinite(self._norm)

    def _drop_gradients(self) -> None:
        for weight in self._trained:
            weight.grad = None

    def _whole_weights(self) -> Iterator[Tensor]:
        """The module's parameters one by one, gathered on every rank; every rank must iterate over all of them."""
        for parameter in self.module.parameters():
            with deepspeed.zero.GatheredParameters([parameter], enabled=self.stage == 3):
                yield parameter.detach()

    def average_logits(self, batch: Batch) -> Tensor:
        """Logits of the running average of the weights, without gradients or dropout."""
        if self._ema is None:
            raise RuntimeError("no EMA is kept: the method's settings ask for none")
        return self._ema.logits(batch)

    @property
    def gradient_norm(self) -> float:
        """Global L2 norm of the last step's gradient before clipping."""
        return float(self._norm if self._clips else self._engine.get_global_grad_norm())

    @property
    def loss_scale(self) -> float:
        """Factor on fp16 losses in the backward pass; 1 in fp32 and bf16."""
        return float(self._engine.optimizer.loss_scale) if self._engine.fp16_enabled() else 1.0

    @property
    def learning_rate(self) -> float:
        """The rate that the next step will use."""
        return float(self._engine.get_lr()[0])

    def full_state(self, model: nn.Module, keys: Sequence[str] | None = None) -> dict[str, Tensor]:
        """The weights of `model`, a part of the module, whole, in fp32 and on the CPU; complete on the main rank only.

        keys: only these. Every rank must call it. In bf16 and fp16 the optimiser's fp32 copies are taken where it
        has them.
        """
        state: dict[str, Tensor] = {}
        for name, value in model.state_dict(keep_vars=True).items():
            if keys is not None and name not in keys:
                continue
            # One at a time: gathered together, ZeRO-3 would hold the whole model on every rank beside the copy here.
            sharded = self.stage == 3 and isinstance(value, nn.Parameter)
            with deepspeed.zero.GatheredParameters([value], enabled=sharded):
                if self.ranks.is_main:
                    whole = value.detach()
                    state[name] = (whole.float() if whole.is_floating_point() else whole).cpu().clone()
        if self._engine.bfloat16_enabled() or self._engine.fp16_enabled():
            for name, parameter in model.named_parameters(remove_duplicate=False):  # tied weights have two names
                if keys is not None and name not in keys:
                    continue
                master = safe_get_full_fp32_param(parameter) if parameter.requires_grad else None
                if master is not None and self.ranks.is_main:
                    state[name] = master.detach().float().cpu().clone()
        return state

    def collect(self, folder: Path, tag: str, state: dict[str, Any]) -> None:
        """Pass the whole training state, for `folder/tag`, to `writer`, to be started; every rank must call it."""
        self._engine.save_checkpoint(str(folder), tag=tag, client_state={"train_state": state}, save_latest=False)
        if self._ema is not None and self.ranks.is_main:
            self.writer.save(self._ema.state_dict(), str(folder / tag / EMA_FILE))

    def load(self, folder: Path, tag: str, *, universal: bool = False) -> dict[str, Any]:
        """Restore the state that `collect` passed on; returns its `state`. Every rank must call it.

        universal: `folder/tag` was converted to DeepSpeed's universal format, for any number of ranks.
        """
        self._engine._config.load_universal_checkpoint = universal
        try:
            path, client = self._engine.load_checkpoint(str(folder), tag=tag)
        finally:
            self._engine._config.load_universal_checkpoint = False
        if path is None:
            raise InputError(f"{folder / tag}: DeepSpeed could not load this checkpoint; remove it to use an older one")
        if universal and self.stage == 3:
            self._mend_universal_load()
        if self._ema is not None:
            self._ema.load_state_dict(self.writer.load(str(folder / tag / EMA_FILE), "cpu"))
        state: dict[str, Any] = client["train_state"]
        return state

    def _mend_universal_load(self) -> None:
        """Undo a fault of DeepSpeed 0.19.8 at ZeRO 3: all groups get the first one's settings, weight decay among them,
        and share one step counter, which then counts every step several times."""
        optimizer = self._engine.optimizer.optimizer
        for group, weight_decay in zip(optimizer.param_groups, self._weight_decays, strict=True):
            group["weight_decay"] = weight_decay
        for state in optimizer.state.values():
            if isinstance(state.get("step"), Tensor):
                state["step"] = state["step"].clone()

    def take_weights(self, weights: Mapping[str, Tensor], steps: int) -> None:
        """Replace the module's weights, and advance the learning-rate schedule to step `steps`."""
        for name, parameter in self.module.named_parameters():
            with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0, enabled=self.stage == 3):
                parameter.data.copy_(weights[name])
            if self.stage and parameter.requires_grad:
                safe_set_full_fp32_param(parameter, weights[name].to(self.device))
        self._engine.lr_scheduler.last_epoch = steps - 1
        with warnings.catch_warnings(action="ignore"):  # on optimiser steps that were not taken here
            self._engine.lr_scheduler.step()

    def close(self) -> None:
        """Release the engine's hooks and buffers."""
        self._engine.destroy()
        # ZeRO-3 puts its own linear in torch's place, for good: later models would compute with other rounding.
        torch.nn.functional.linear = self._linear


def consolidate(checkpoint: Path) -> dict[str, Tensor]:
    """The module's weights in fp32 by name, from a checkpoint's shards of any ZeRO stage but 0."""
    with contextlib.redirect_stdout(io.StringIO()):
        found: dict[str, Tensor] = get_fp32_state_dict_from_zero_checkpoint(str(checkpoint.parent), checkpoint.name)
    return found


def _set_collective_timeout(seconds: float) -> None:
    """Set the timeout of every process group; DeepSpeed gives its own groups torch's default."""
    for group in list(distributed_c10d._world.pg_map):
        distributed_c10d._set_pg_timeout(timedelta(seconds=seconds), group)


def start_distributed(ranks: Ranks, timeout_seconds: float = 1800.0) -> None:
    """Initialise the process group, NCCL on GPUs, gloo on CPUs, with this timeout of collectives."""
    if torch.cuda.is_available():
        torch.cuda.set_device(ranks.local_rank)
    if not torch.distributed.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        # The only entry that is read here is an operator for inference on CPUs: it has to be compiled, and leaves 64 MB
        # in /dev/shm of a killed rank. Left to itself, DeepSpeed fills the table by running a compiler.
        deepspeed.ops.__compatible_ops__ = {"deepspeed_shm_comm": False}
        deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False, verbose=False,
                                   timeout=timedelta(seconds=timeout_seconds))
