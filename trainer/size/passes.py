"""One micro-batch of a run on paper: bytes of activations, matmul FLOPs, and weights that ZeRO 3 would gather.

The recipe's own robust method runs on fake tensors (torch's FakeTensorMode): shapes and lifetimes are those of a real
step, nothing is computed. Every tensor is counted from its operator to its release, by phase: ascent or update.
Gradients of weights are told apart, since ZeRO stages keep different shares of them.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count
from transformers import PreTrainedModel

from trainer.engine.plain import PlainEngine
from trainer.engine.step_context import StepContext
from trainer.kernels import reference  # noqa: F401  (registers the operators that fake tensors need)
from trainer.kinds import Kind
from trainer.kinds.batch import Batch
from trainer.model.cpu import fit_to_cpu
from trainer.model.site import SiteModel
from trainer.model.vocabulary import trim_vocabulary
from trainer.robust import METHODS, MethodSettings
from trainer.robust.settings import site_of

aten = torch.ops.aten
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# FLOPs by operator, as torch counts them; fused attention on CPUs is missing there.
FLOPS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *rest, out_val=None, **named: sdpa_flop_count(
        q.shape, k.shape, v.shape),
    aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda grad, q, k, v, *rest, out_val=None, **named:
        sdpa_backward_flop_count(grad.shape, q.shape, k.shape, v.shape)}


@dataclass(frozen=True)
class Weight:
    """One weight of the model."""

    name: str
    numel: int
    ndim: int
    trainable: bool


@dataclass(frozen=True)
class PassCost:
    """Cost of one micro-batch on one rank; bytes are beyond weights and inputs."""

    flops: int
    """FLOPs of matrix products and attention, ascent included."""
    update_bytes: int
    """Peak of the update where a gradient is handed over as soon as it is there."""
    update_bytes_kept: int
    """Peak of the update where all gradients of weights stay."""
    ascent_bytes: int
    """Peak of the ascent; 0 for methods without one."""
    bytes_at: dict[str, int]
    """Bytes alive when the gradient of a weight is handed over, that gradient included."""
    gathered_numel: dict[str, int]
    """Elements of each weight, times the passes that read it: what ZeRO 3 gathers."""


def run_on_paper(config: Any, auto_class: Any, kind: Kind, batch: Batch, settings: MethodSettings, precision: str, *,
                 checkpointing: bool, frozen_words: bool, words: int | None = None, masked_share: float = 1.0,
                 gpu: bool = False,
                 ) -> tuple[list[Weight], PassCost]:
    """(weights, cost of a micro-batch) of the model of `config`.

    batch: of which only shapes and types are read. words: rows of a trimmed word table. masked_share: share of a
    boolean mask's entries taken to be true, where an operator's output depends on it. gpu: fused attention as on CUDA
    instead of that of CPUs.
    """
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, _quiet():
        model: PreTrainedModel = auto_class.from_config(config, dtype=DTYPES[precision])
        if frozen_words:
            model.get_input_embeddings().weight.requires_grad_(False)
        if words is not None:
            trim_vocabulary([model], np.arange(words))
        if not gpu:
            fit_to_cpu(model, precision)
        if checkpointing:
            model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        site_model = SiteModel(model, kind, site_of(settings)).train()
        weights = [Weight(name, p.numel(), p.ndim, p.requires_grad) for name, p in site_model.named_parameters()]
        inputs = batch.map(lambda tensor: fake.from_tensor(tensor, static_shapes=True))
        return weights, _count(site_model, inputs, settings, masked_share, gpu)


def _count(model: SiteModel, batch: Batch, settings: MethodSettings, masked_share: float, gpu: bool) -> PassCost:
    tracker = _Tracker(masked_share)
    for tensor in [*model.parameters(), *model.buffers()]:
        tracker.leave_out(tensor)
    batch.map(tracker.leave_out)
    gathered: dict[str, int] = {}
    bytes_at: dict[str, int] = {}
    handles = [*_watch_gathers(model, gathered), *tracker.take_gradients(model, bytes_at)]
    kernels: Any = torch.ops.robust_reference
    context = _PaperContext(
        _PaperEngine(model), kernels, settings, batch,
        epsilon=1.0, seed=0, step=1, global_weight=1.0, ends_step=True)
    context.tracker = tracker
    with ExitStack() as stack:
        stack.enter_context(tracker)
        if gpu:
            stack.enter_context(_FusedAttention())
        METHODS[settings.method].step(context)
    for handle in handles:
        handle.remove()
    return PassCost(tracker.flops, tracker.peaks["update"], tracker.kept_peak,
                    tracker.peaks.get("ascent", 0), bytes_at, gathered)


class _PaperEngine(PlainEngine):
    @torch.no_grad()
    def average_logits(self, batch: Batch) -> Tensor:
        """Logits of the EMA, whose passes cost as much as those of the model itself."""
        logits: Tensor = self.module(batch)
        return logits


class _PaperContext(StepContext):
    """Tells the tracker which phase a pass belongs to."""

    tracker: _Tracker

    def loss(self, delta_BLH: Tensor | None = None, *, ascent: bool = False) -> tuple[Tensor, Tensor]:
        self.tracker.phase = "ascent" if ascent else "update"
        return super().loss(delta_BLH, ascent=ascent)

    def backward(self, loss: Tensor, *, last: bool = True) -> None:
        self.tracker.phase = "update"
        super().backward(loss, last=last)

    def uniform(self) -> Any:
        """Numbers with values, since mixup computes with numpy, which fake tensors cannot be turned into."""
        return SimpleNamespace(numpy=lambda: np.full(len(self._batch.example_ids), 0.5))


class _Tracker(TorchDispatchMode):
    """Bytes alive of all tensors made within, by phase; and answers where values of fake tensors are asked for."""

    def __init__(self, masked_share: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.phase = "update"
        self.alive = 0
        self.peaks: dict[str, int] = {}
        self.kept_peak = 0
        self.flops = 0
        self._masked_share = masked_share
        self._gradients = 0
        self._seen: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = self._answer(func, args)
        if found is None:
            found = func(*args, **(kwargs or {}))
        if (count := FLOPS.get(func._overloadpacket)) is not None:
            self.flops += int(count(*args, **(kwargs or {}), out_val=found))
        for tensor in tree_leaves(found):
            if isinstance(tensor, Tensor):
                self._take(tensor)
        self.peaks[self.phase] = max(self.peaks.get(self.phase, 0), self.alive)
        self.kept_peak = max(self.kept_peak, self.alive + self._gradients)
        return found

    def _answer(self, func: Any, args: Any) -> Any:
        """Result where it depends on values: a mask is true at `masked_share` of its entries, numbers are 0."""
        if func is aten._local_scalar_dense.default:
            return 0
        if func is aten.nonzero.default:
            return self._positions(args[0])
        if func is aten.index.Tensor and any(i is not None and i.dtype == torch.bool for i in args[1]):
            places = [one for i in args[1] for one in (
                self._positions(i).unbind(1) if i is not None and i.dtype == torch.bool else (i,))]
            return func(args[0], places)
        return None

    def _positions(self, mask: Tensor) -> Tensor:
        rows = max(1, round(mask.numel() * self._masked_share))
        return mask.new_empty((rows, mask.ndim), dtype=torch.int64)

    def leave_out(self, tensor: Tensor) -> Tensor:
        """Do not count this tensor, of which operators make views."""
        self._seen[tensor.untyped_storage()] = 0
        return tensor

    def _take(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage not in self._seen:
            size = storage.nbytes()
            self._seen[storage] = size
            self.alive += size
            weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.alive -= size

    def take_gradients(self, model: nn.Module, bytes_at: dict[str, int]) -> Iterator[Any]:
        """Hooks that release the gradient of each weight once it is whole, and count it apart."""
        def hook_of(name: str) -> Callable[[Tensor], None]:
            def take(weight: Tensor) -> None:
                bytes_at[name] = max(bytes_at.get(name, 0), self.alive)
                self._gradients += weight.numel() * weight.element_size()
                weight.grad = None
            return take

        for name, weight in model.named_parameters():
            if weight.requires_grad:
                yield weight.register_post_accumulate_grad_hook(hook_of(name))


class _FusedAttention(TorchFunctionMode):
    """Attention as on CUDA with a mask: one kernel that keeps its inputs, its output and a sum per query."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.nn.functional.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        given = {"attn_mask": None, "dropout_p": 0.0, **dict(zip(
            ("query", "key", "value", "attn_mask", "dropout_p"), args, strict=False)), **(kwargs or {})}
        q, mask = given["query"], given["attn_mask"]
        bias = None if mask is None else torch.zeros_like(mask, dtype=q.dtype).expand(
            *q.shape[:3], given["key"].shape[2])
        return aten._scaled_dot_product_efficient_attention(
            q, given["key"], given["value"], bias, True, given["dropout_p"])[0]


def _watch_gathers(model: nn.Module, gathered: dict[str, int]) -> Iterator[Any]:
    """Hooks that count, for each weight, the forward passes that read it, and the backward passes behind them."""
    def watch(names: list[tuple[str, int]]) -> Any:
        def count(module: nn.Module, args: Any) -> None:
            passes = 2 if torch.is_grad_enabled() else 1
            for name, numel in names:
                gathered[name] = gathered.get(name, 0) + passes * numel
        return count

    for path, module in model.named_modules():
        names = [(f"{path}.{name}", weight.numel()) for name, weight in module.named_parameters(recurse=False)]
        if names:
            yield module.register_forward_pre_hook(watch(names))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the state of random numbers, which initial weights on paper would advance."""
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(state)

