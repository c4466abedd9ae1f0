"""`python -m trainer bench overhead`: cost of fault tolerance.

Three times on one machine: what checks for NaN and signals add to a step, how long a checkpoint stops training, and how
long until it is on disk. Under a launcher, all ranks take part.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from data_prep.base.errors import InputError
from trainer.bench.steps import Variant, batch_of, model_of, recipe_of
from trainer.checkpoint.store import Store
from trainer.config.schema import CheckpointSection
from trainer.distributed.collectives import barrier, same_on_all
from trainer.distributed.ranks import find_ranks
from trainer.engine.build import build_engine
from trainer.engine.engine import Engine, start_distributed
from trainer.kernels import dispatch
from trainer.kinds import KINDS
from trainer.loop import run_steps
from trainer.model.encoders import RANDOM
from trainer.model.site import SiteModel
from trainer.monitor.meter import Meter
from trainer.monitor.nonfinite import NonfiniteCheck
from trainer.monitor.step_reduction import StepReduction, StepResult
from trainer.runs.state import TrainState


def measure_overhead(size: str, batch_size: int, length: int, vocabulary: int, steps: int, rounds: int) -> int:
    """Print the cost of fault tolerance, as `bench_overhead` says."""
    if size not in RANDOM.sizes or rounds < 2:
        raise InputError(f"--size must be one of {', '.join(RANDOM.sizes)} and --rounds at least 2, found {size!r}, "
                         f"{rounds}")
    ranks = find_ranks()
    recipe = recipe_of(Variant("plain", {"method": "plain"}, None), batch_size, steps)
    site_model = SiteModel(model_of(size, length, vocabulary), KINDS["pair"], "word_embeddings")
    start_distributed(ranks)
    engine = build_engine(site_model, recipe, ranks, 2 * steps * rounds)
    _, kernels = dispatch.select("auto", announce=ranks.is_main)
    share = batch_size // ranks.world_size
    batches = [[batch_of(number, share, length, vocabulary)] for number in range(steps)]

    open_: list[StepReduction] = []
    nonfinite = NonfiniteCheck(recipe.engine.max_nonfinite_steps, recipe.logging.spike, "")

    def careful(meter: Meter, result: StepResult) -> None:
        open_.append(StepReduction(state.step, result, ranks, engine.device))
        if len(open_) > 1:
            one = open_.pop(0)
            nonfinite.check(state, one.step, one.wait()[0], one.applied, list, lambda step, event: None)

    def careless(meter: Meter, result: StepResult) -> None:
        pass

    def seconds_of(after_step: Callable[[Meter, StepResult], None]) -> float:
        start = time.perf_counter()
        run_steps(engine, recipe, iter(batches), state, steps, kernels, after_step)
        return (time.perf_counter() - start) / steps

    with_checks, bare, stalls, saves = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(same_on_all(folder, ranks))
        store = Store(engine, shared, CheckpointSection(), "bench", {})
        for _ in range(rounds):
            state = TrainState()
            bare.append(seconds_of(careless))
            state = TrainState()
            with_checks.append(seconds_of(careful))
            start = time.perf_counter()
            store.save(state)
            stalls.append(time.perf_counter() - start)
            store.wait()
            barrier(ranks)
            saves.append(time.perf_counter() - start)
        barrier(ranks)
    if ranks.is_main:
        step, without, stall, save = (float(np.median(times[1:])) for times in (with_checks, bare, stalls, saves))
        checks = step - without + _guard_seconds(engine)
        title = f"{size}, batch {batch_size} x {length} tokens, {ranks.world_size} rank(s), {engine.device}"
        Console().print(_table(title, step, checks, stall, save))
    return 0


def _guard_seconds(engine: Engine) -> float:
    """Time that `Engine.backward` spends on passing non-finite losses on to the gradient."""
    loss = torch.ones((), device=engine.device, requires_grad=True)
    start = time.perf_counter()
    for _ in range(100):
        loss * torch.where(torch.isfinite(loss.detach()), 1.0, float("nan"))
    return (time.perf_counter() - start) / 100


def _table(title: str, step: float, checks: float, stall: float, save: float) -> Table:
    table = Table("what", "ms", "share of a step", "bound", "", title=title)
    for what, seconds, bound in (
            ("a step", step, None), ("checks for NaN and signals", checks, 0.01),
            ("a checkpoint stops training for", stall, 1.0), ("a checkpoint is on disk after", save, None)):
        within = "" if bound is None else "[green]within[/]" if seconds <= bound * step else "[red]above[/]"
        table.add_row(what, f"{1000 * seconds:.2f}", f"{seconds / step:.2%}",
                      "" if bound is None else f"{bound:.0%}", within)
    return table
