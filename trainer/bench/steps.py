"""`python -m trainer bench steps`: cost of a step of each robust method, as a ratio to a plain step.

Random token ids on a random model; every method runs the training loop on the same batches, turns interleaved. The
bound of a ratio is its operation count plus a tenth: a full step is 3 units (one forward, two backward), an ascent
step 2, and half of that above the middle layer. For comparison the same PGD runs with full backward passes
(`bench peers` compares with Hugging Face's `Trainer`). A second table compares the peak memory of ascent and update
(`memory`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from data_prep.base.errors import InputError, did_you_mean
from data_prep.shards.template import InputTemplate
from trainer.bench.memory import ASCENT, UPDATE, peak_bytes, phased_context
from trainer.config import Recipe
from trainer.data.collate import collate
from trainer.distributed.ranks import find_ranks
from trainer.engine.build import build_engine
from trainer.engine.engine import start_distributed
from trainer.engine.step_context import StepContext
from trainer.kernels import dispatch
from trainer.kinds import KINDS
from trainer.kinds.batch import Batch
from trainer.kinds.tokens import Tokens
from trainer.loop import run_steps
from trainer.model.encoders import RANDOM
from trainer.model.site import Site, SiteModel
from trainer.robust import settings_for
from trainer.robust.settings import site_of
from trainer.runs.state import TrainState
from trainer.size.machine import now

TOLERANCE = 1.1
EPSILON = 0.05
ASCENDING = ("pgd", "fgm", "smart", "trades")


@dataclass(frozen=True)
class Variant:
    """One line of the table: a method, its settings, and the bound on its ratio (None: for comparison only)."""

    name: str
    robust: dict[str, str | int | float]
    bound: float | None
    context: type[StepContext] = StepContext


class FullBackwardContext(StepContext):
    """Ascent step with a full backward pass, as usually implemented: weight gradients are computed and discarded."""

    def input_grad(self, loss: Tensor, delta_BLH: Tensor) -> Tensor:
        """d loss / d delta, computed along with all weight gradients."""
        weights = [p for p in self._engine.module.parameters() if p.requires_grad]
        grad, *_ = torch.autograd.grad(loss, [delta_BLH, *weights], allow_unused=True)
        return grad


def variants(layers: int) -> Iterator[Variant]:
    """Lines of the table; K is the number of ascent steps."""
    yield Variant("plain", {"method": "plain"}, None)
    middle = f"layer:{layers // 2}"
    for k in (1, 2, 3):
        yield Variant(f"pgd K={k}, word embeddings", {"method": "pgd", "ascent_steps": k}, TOLERANCE * (3 + 2 * k) / 3)
    for k in (1, 2, 3):
        bound = TOLERANCE * (3 + k) / 3
        yield Variant(f"pgd K={k}, {middle}", {"method": "pgd", "ascent_steps": k, "site": middle}, bound)
    for k in (2, 3):  # a single pass has no ascent
        yield Variant(f"freelb K={k}", {"method": "freelb", "ascent_steps": k}, TOLERANCE * k)
    for method in ("fgm", "smart", "trades", "random_noise", "r3f"):
        yield Variant(f"{method} K=1", {"method": method}, None)
    yield Variant("pgd K=3, full backward passes", {"method": "pgd", "ascent_steps": 3}, None, FullBackwardContext)


def measure_steps(size: str, batch_size: int, length: int, vocabulary: int, steps: int, rounds: int,
                  only: str | None, precision: str = "fp32") -> int:
    """Print time and peak memory of each method's step, as `bench_steps` says."""
    if size not in RANDOM.sizes:
        raise InputError(f"--size must be one of {', '.join(RANDOM.sizes)}, found {size!r}"
                         f"{did_you_mean(size, RANDOM.sizes)}")
    layers = RANDOM.sizes[size]["num_hidden_layers"]
    chosen = [variant for variant in variants(layers)
              if variant.name == "plain" or only is None or only in variant.name]
    ranks = find_ranks()
    model = model_of(size, length, vocabulary)
    recipes = {variant.name: recipe_of(variant, batch_size, steps, precision) for variant in chosen}
    batches = [batch_of(number, batch_size, length, vocabulary) for number in range(steps)]
    start_distributed(ranks)
    site_model = SiteModel(model, KINDS["pair"], "word_embeddings")
    engine = build_engine(site_model, recipes["plain"], ranks, (rounds + 1) * steps * len(chosen))
    backend, kernels = dispatch.select("auto")

    def run(variant: Variant, some: Sequence[Batch], context: type[StepContext]) -> float:
        recipe = recipes[variant.name]
        site_model.site = Site.parse(site_of(recipe.robust), layers)
        start = now(engine.device)
        run_steps(engine, recipe, iter([[batch] for batch in some]), TrainState(), len(some), kernels,
                    lambda window, done: None, context)
        return (now(engine.device) - start) / len(some)

    seconds: dict[str, list[float]] = {variant.name: [] for variant in chosen}
    for _ in range(rounds + 1):  # the first round warms up caches and is dropped
        for variant in chosen:
            seconds[variant.name].append(run(variant, batches, variant.context))
    title = f"{size}, {precision}, batch {batch_size} x {length} tokens, {engine.device}, kernels: {backend}"
    _print_seconds(chosen, {name: float(np.median(times[1:])) for name, times in seconds.items()}, title)
    _print_memory([variant for variant in chosen if variant.robust["method"] in ASCENDING],
                  lambda variant, context: run(variant, batches[:1], context), engine.device, title)
    return 0


def model_of(size: str, length: int, vocabulary: int, dropout: float = 0.0) -> Any:
    """Random sequence classifier, the same in every process."""
    torch.manual_seed(0)
    rates = dict.fromkeys(RANDOM.dropout_settings, dropout)
    return AutoModelForSequenceClassification.from_config(
        RANDOM.random_config(size, vocabulary, length, pad_id=1, num_labels=3, **rates))


def recipe_of(variant: Variant, batch_size: int, steps: int, precision: str = "fp32") -> Recipe:
    """Recipe of one line; half precision needs ZeRO, of which stage 1 does no more on one rank."""
    return Recipe.model_validate({
        "model": {"random": "tiny"}, "data": {"train": ["none"]}, "batch": {"size": batch_size},
        "schedule": {"max_steps": steps},
        "engine": {"precision": precision, "config": "zero0" if precision == "fp32" else "zero1"},
        "robust": settings_for(
            str(variant.robust["method"]), {**variant.robust, "epsilon": EPSILON, "relative": False})})


def batch_of(seed: int, batch_size: int, length: int, vocabulary: int) -> Batch:
    """Batch of random ids without padding."""
    generator = np.random.default_rng(seed)
    first, second = (length - 4) // 2, length - 4 - (length - 4) // 2
    rows = [(generator.integers(4, vocabulary - 1, first), generator.integers(4, vocabulary - 1, second))
            for _ in range(batch_size)]
    tokens = Tokens(InputTemplate(single="0 A 2", pair="0 A 2 2 B 2"), pad_id=1,
                    mask_id=vocabulary - 1, unk_id=3, vocab_size=vocabulary)
    labels = torch.from_numpy(generator.integers(0, 2, batch_size))
    return replace(collate(rows, np.arange(batch_size), tokens, length), targets={"labels": labels})


def _print_seconds(chosen: list[Variant], medians: dict[str, float], title: str) -> None:
    """Print a line per variant."""
    table = Table("step", "ms", "ratio to plain", "bound", "", title=title)
    bounds = {variant.name: variant.bound for variant in chosen}
    for name, median in medians.items():
        ratio, bound = median / medians["plain"], bounds.get(name)
        verdict = "" if bound is None else _verdict(ratio <= bound)
        table.add_row(name, f"{1000 * median:.1f}", f"{ratio:.2f}", "" if bound is None else f"{bound:.2f}", verdict)
    Console().print(table)


def _print_memory(
    chosen: list[Variant], run_step: Callable[[Variant, type[StepContext]], float], device: torch.device, title: str
) -> None:
    """Print peak memory in ascent and update of each variant with an ascent, beyond what was allocated before."""
    if not chosen:
        return
    table = Table("peak memory", "ascent, MB", "update, MB", "ratio", "bound", "", title=title)
    for variant in chosen:
        with peak_bytes(device) as (mark, peaks):
            run_step(variant, phased_context(mark, variant.context))
        ratio = peaks[ASCENT] / peaks[UPDATE]
        bound, verdict = ("", "") if variant.context is not StepContext else ("1.00", _verdict(ratio <= 1.0))
        table.add_row(variant.name, *(f"{peaks[phase] / 1e6:.1f}" for phase in (ASCENT, UPDATE)), f"{ratio:.2f}", bound,
                      verdict)
    Console().print(table)


def _verdict(within: bool) -> str:
    return "[green]within[/]" if within else "[red]above[/]"
