"""Peak memory of the ascent against that of the update, within one step of a robust method.

Input: a block of code that runs a step with `phased_context`. Output: peak bytes allocated for tensors in each phase,
beyond those allocated before. On CUDA from the caching allocator's statistics; on CPUs from the allocations and
releases that torch's profiler records, workspaces of operators included. Neither counts allocations of other libraries.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

from trainer.engine.step_context import StepContext

PREFIX = "phase: "
BEFORE, ASCENT, UPDATE, STEP = "before", "ascent", "update", "step"
Mark = Callable[[str], None]


def phased_context(mark: Mark, base: type[StepContext]) -> type[StepContext]:
    """Context class that marks the phase of each of its calls.

    The ascent lasts from the first ascent pass, projections included, to the next pass of the update. The update is its
    forward and backward passes; the optimiser's step, whose memory no method changes, is a phase of its own.
    """

    class PhasedContext(base):  # type: ignore[valid-type, misc]
        def loss(self, delta_BLH: Tensor | None = None, *, ascent: bool = False) -> tuple[Tensor, Tensor]:
            mark(ASCENT if ascent else UPDATE)
            found: tuple[Tensor, Tensor] = super().loss(delta_BLH, ascent=ascent)
            return found

        def backward(self, loss: Tensor, *, last: bool = True) -> None:
            mark(UPDATE)
            super().backward(loss, last=last)
            mark(STEP)

    return PhasedContext


@contextlib.contextmanager
def peak_bytes(device: torch.device) -> Iterator[tuple[Mark, dict[str, int]]]:
    """(mark, peaks): call `mark(phase)` where a phase begins; `peaks`, by phase, is filled in when the block ends."""
    with (_cuda_peaks(device) if device.type == "cuda" else _cpu_peaks()) as found:
        yield found


@contextlib.contextmanager
def _cuda_peaks(device: torch.device) -> Iterator[tuple[Mark, dict[str, int]]]:
    peaks: dict[str, int] = {}
    phase = BEFORE
    start = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)

    def mark(following: str) -> None:
        nonlocal phase
        peaks[phase] = max(peaks.get(phase, 0), torch.cuda.max_memory_allocated(device) - start)
        torch.cuda.reset_peak_memory_stats(device)
        phase = following

    yield mark, peaks
    mark(BEFORE)


@contextlib.contextmanager
def _cpu_peaks() -> Iterator[tuple[Mark, dict[str, int]]]:
    peaks: dict[str, int] = {}

    def mark(following: str) -> None:
        with record_function(PREFIX + following):
            pass

    with _chatter_hidden(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        yield mark, peaks
    kineto: Any = profiler.profiler
    phase, alive = BEFORE, 0
    for event in sorted(kineto.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            alive += event.nbytes()  # negative where memory is released
            peaks[phase] = max(peaks.get(phase, 0), alive)
        elif event.name().startswith(PREFIX):
            phase = event.name().removeprefix(PREFIX)
            peaks[phase] = max(peaks.get(phase, 0), alive)


@contextlib.contextmanager
def _chatter_hidden() -> Iterator[None]:
    """Suppress what the profiler's C++ code writes to stderr at every start and stop; errors are raised in Python."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
