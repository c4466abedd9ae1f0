"""`python -m trainer bench kernels`: the fused kernels against plain torch, torch.compile and a copy of the same bytes.

Bytes are counted as each input read once and each output written once; the copy moves as many, half of them read and
half written. The variants of a line take turns, three calls each, so that none profits from another's cache contents;
the best time counts. The last table is the perturbation's share of a whole robust step, which limits what faster
kernels can gain.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from data_prep.base.errors import InputError
from trainer.bench.steps import EPSILON, Variant, batch_of, model_of, recipe_of
from trainer.distributed.ranks import find_ranks
from trainer.engine.build import build_engine
from trainer.engine.engine import start_distributed
from trainer.kernels import cpu, dispatch, reference, triton_ops
from trainer.kinds import KINDS
from trainer.loop import run_steps
from trainer.model.encoders import RANDOM
from trainer.model.site import SiteModel
from trainer.runs.state import TrainState

Call = Callable[[], object]


@dataclass
class Line:
    """A fused call and others to compare it with; bounds on others' time / fused time (of a copy: the inverse)."""

    name: str
    fused: Call
    others: dict[str, Call]
    bounds: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict)

    def ratio(self, other: str) -> float:
        """Speed-up of the fused call; of the copy over the fused call for "copy"."""
        share = self.seconds[other] / self.seconds["fused"]
        return 1 / share if other == "copy" else share

    def holds(self, other: str) -> bool:
        """True if the bound is met."""
        bound = self.bounds[other]
        return self.ratio(other) <= bound if other == "copy" else self.ratio(other) >= bound


def measure_kernels(rounds: int, vocabulary: int, compiled: bool, size: str, batch_size: int, length: int) -> int:
    """Print times and bounds of the kernels, as `bench_kernels` says."""
    if size not in RANDOM.sizes or rounds < 1:
        raise InputError(f"--size must be one of {', '.join(RANDOM.sizes)} and --rounds positive, found {size!r}, "
                         f"{rounds}")
    console = Console()
    reason = cpu.why_not()
    if reason is None:
        torch.set_num_threads(os.cpu_count() or 1)
        lines = [_ascent((32, 128, 1024), {"eager": 5.0, "compile": 1.5, "copy": 1.25}, compiled),
                 _ascent((8, 64, 768), {"eager": 10.0}, compiled)]
        for line in lines:
            _take_turns(line, rounds, _turn, 0.1 * rounds)
        console.print(_table(lines, f"CPU, {torch.get_num_threads()} threads, best of {rounds} or more"))
    elif torch.cuda.is_available():
        console.print(f"CPU: nothing to measure, {reason}")
    else:
        raise InputError(f"the cpu backend cannot be timed here: {reason}")
    reason = triton_ops.why_not()
    if reason is None:
        line = _ascent_cuda(compiled)
        _take_turns(line, rounds, _events)
        console.print(_table([line], f"{torch.cuda.get_device_name()}, cold cache, best of {rounds} or more"))
    else:
        console.print(f"CUDA: nothing to measure, {reason}")
    console.print(_shares(size, batch_size, length, vocabulary))
    return 0


def _ascent(shape: tuple[int, int, int], bounds: dict[str, float], compiled: bool) -> Line:
    """`perturb_ascend` in fp32 with an L2 ball per token, as training uses it."""
    generator = torch.Generator().manual_seed(0)
    delta, grad, x = (torch.randn(shape, generator=generator) * scale for scale in (0.01, 1.0, 1.0))
    arguments = (delta, grad, x, torch.rand(shape[:2], generator=generator) < 0.9, 0.1, 0.5, "l2", "token")
    others: dict[str, Call] = {"eager": lambda: reference.perturb_ascend(*arguments)}
    if compiled and "compile" in bounds:
        whole = torch.compile(reference.perturb_ascend, dynamic=False)
        others["compile"] = lambda: whole(*arguments)
    if "copy" in bounds:
        others["copy"] = _copy_of(5 * x.nbytes + arguments[3].nbytes, "cpu")
    return Line(f"perturb_ascend {shape} fp32", lambda: cpu.perturb_ascend(*arguments), others,
                {name: bound for name, bound in bounds.items() if name in others})


def _ascent_cuda(compiled: bool) -> Line:
    shape = (64, 128, 1024)
    delta, grad, x = (torch.randn(shape, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    arguments = (delta, grad, x, torch.rand(shape[:2], device="cuda") < 0.9, 0.1, 0.5, "l2", "token")
    others: dict[str, Call] = {"eager": lambda: reference.perturb_ascend(*arguments),
                               "copy": _copy_of(5 * x.nbytes + arguments[3].nbytes, "cuda")}
    if compiled:
        whole = torch.compile(reference.perturb_ascend, dynamic=False)
        others["compile"] = lambda: whole(*arguments)
    bounds = {"eager": 4.0, "compile": 1.0, "copy": 1.25}  # 80 % of the bandwidth of a copy
    return Line(f"perturb_ascend {shape} bf16", lambda: triton_ops.perturb_ascend(*arguments), others,
                {name: bound for name, bound in bounds.items() if name in others})


def _copy_of(count: int, device: str) -> Call:
    """Copy with a total of `count` bytes read and written."""
    source = torch.ones(count // 8, device=device)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)


def _take_turns(line: Line, rounds: int, clock: Callable[[Call], float], seconds_at_least: float = 0.1) -> None:
    """Fill in the best time of each variant over at least `rounds` and `seconds_at_least`, after two warm-up rounds."""
    ways = {"fused": line.fused, **line.others}
    end = time.monotonic() + seconds_at_least
    number = 0
    while number < rounds + 2 or time.monotonic() < end:
        for name, call in ways.items():
            seconds = clock(call)
            if number >= 2:
                line.seconds[name] = min(seconds, line.seconds.get(name, seconds))
        number += 1


def _turn(call: Call) -> float:
    return min(_wall(call) for _ in range(3))


def _wall(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _events(call: Call) -> float:
    """Seconds between CUDA events, after flushing the L2 cache."""
    torch.empty(1 << 28, dtype=torch.int8, device="cuda").zero_()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end)) / 1000


def _table(lines: list[Line], title: str) -> Table:
    table = Table("operation", "fused ms", "beside", "ms", "ratio", "bound", "", title=title)
    for line in lines:
        for other in line.others:
            bounded = other in line.bounds
            sign = "at most" if other == "copy" else "at least"
            table.add_row(line.name, f"{1000 * line.seconds['fused']:.3f}", other,
                          f"{1000 * line.seconds[other]:.3f}", f"{line.ratio(other):.2f}",
                          f"{sign} {line.bounds[other]:g}" if bounded else "",
                          "" if not bounded else "[green]holds[/]" if line.holds(other) else "[red]missed[/]")
    return table


def _shares(size: str, batch_size: int, length: int, vocabulary: int) -> Table:
    """Share of the kernels in the time of a pgd step with K = 3, for each available backend."""
    ranks = find_ranks()
    start_distributed(ranks)
    model = model_of(size, length, vocabulary, dropout=0.1)
    steps, names = 6, dispatch.available()
    pgd = Variant("pgd", {"method": "pgd", "ascent_steps": 3, "start": "uniform"}, None)
    recipe = recipe_of(pgd, batch_size, steps)
    engine = build_engine(SiteModel(model, KINDS["pair"], "word_embeddings"), recipe, ranks, 4 * steps * len(names))
    batches = [batch_of(number, batch_size, length, vocabulary) for number in range(steps)]
    title = f"a step of pgd, K=3, {size}, {batch_size} x {length} tokens, epsilon {EPSILON}, {engine.device}"
    table = Table("kernels", "step ms", "of which perturbation ms", "share", title=title)
    best: dict[str, tuple[float, float]] = {}
    for number in range(4):
        for name in names:
            spent: list[float] = []
            seconds = _wall(lambda name=name, spent=spent: run_steps(  # type: ignore[misc]
                engine, recipe, iter([[batch] for batch in batches]), TrainState(), steps,
                _timed(dispatch.BACKENDS[name], spent), lambda window, done: None))
            if number:
                best[name] = min(best.get(name, (seconds, sum(spent))), (seconds, sum(spent)))
    for name, (seconds, inside) in best.items():
        table.add_row(name, f"{1000 * seconds / steps:.2f}", f"{1000 * inside / steps:.3f}",
                      f"{inside / seconds:.1%}")
    return table


def _timed(kernels: ModuleType, spent: list[float]) -> ModuleType:
    """The kernels, wrapped so that each call appends its seconds to `spent`."""
    timed = ModuleType("timed")
    for name, function in _public(kernels):
        def call(*arguments: Any, function: Callable[..., Any] = function) -> Any:
            start = time.perf_counter()
            found = function(*arguments)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            spent.append(time.perf_counter() - start)
            return found

        setattr(timed, name, call)
    return timed


def _public(kernels: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in ("perturb_init", "perturb_ascend", "perturb_project"):
        yield name, getattr(kernels, name)
