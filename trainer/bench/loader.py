"""`python -m trainer bench loader CELL`: throughput gained by batches of like length, over whole steps.

The same examples are batched by length, at random with padding to the longest of the batch, and at random with padding
to the maximum. Each variant runs the training loop on the same model; turns are interleaved.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from data_prep.base.errors import InputError, did_you_mean
from data_prep.shards.read import open_cell
from trainer.config import Recipe
from trainer.data.loader import Examples
from trainer.data.sampler import epoch_batches
from trainer.distributed.ranks import find_ranks
from trainer.engine.build import build_engine
from trainer.engine.engine import start_distributed
from trainer.kernels import reference
from trainer.kinds import KINDS, Masking
from trainer.loop import run_steps
from trainer.model.build import build_model
from trainer.model.encoders import RANDOM
from trainer.model.site import SiteModel
from trainer.runs.state import TrainState


def measure_loader(cell: str, size: str, batch_size: int, steps: int, rounds: int) -> int:
    """Print the throughput of each variant, as `bench_loader` says."""
    if size not in RANDOM.sizes:
        raise InputError(f"--size must be one of {', '.join(RANDOM.sizes)}, found {size!r}"
                         f"{did_you_mean(size, RANDOM.sizes)}")
    opened = open_cell(Path(cell))
    manifest = opened.manifest
    masking = Masking(0.15, 0)
    plain = Examples([opened], manifest.max_length, masking=masking)
    padded = Examples([opened], manifest.max_length, pad_to=manifest.max_length, masking=masking)
    recipe = Recipe.model_validate({
        "model": {"random": size}, "data": {"train": ["none"]}, "batch": {"size": batch_size},
        "schedule": {"max_steps": steps}})
    ranks = find_ranks()
    start_distributed(ranks)
    model, _ = build_model(recipe, manifest, manifest.max_length)
    engine = build_engine(SiteModel(model, KINDS[manifest.kind], "word_embeddings"), recipe, ranks, steps)

    alike, shuffled = _same_examples(plain.lengths, batch_size, steps)
    ways = {"like length": (plain, alike), "longest of the batch": (plain, shuffled),
            "maximum length": (padded, shuffled)}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds + 1):  # the first round warms up caches and is dropped
        for way, (examples, batches) in ways.items():
            start = time.perf_counter()
            run_steps(engine, recipe, ([examples[0, indices]] for indices in batches), TrainState(), steps,
                        reference, lambda window, done: None)
            seconds[way].append(time.perf_counter() - start)

    table = Table("padded to", "padding share", "examples/s", "ratio", title=f"{cell}, {size}, batch {batch_size}")
    medians = {way: float(np.median(times[1:])) for way, times in seconds.items()}
    for way, (examples, batches) in ways.items():
        table.add_row(way, f"{_padding(examples, batches):.1%}", f"{steps * batch_size / medians[way]:.1f}",
                      f"{medians['maximum length'] / medians[way]:.2f}")
    epoch = epoch_batches(plain.lengths, batch_size, 0, 0, True)
    console = Console()
    console.print(table)
    console.print(f"padding over the whole first epoch, like length: {_padding(plain, list(epoch)):.1%}")
    return 0


def _same_examples(lengths: np.ndarray, batch_size: int, steps: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """`steps` batches of like length, evenly spaced from short to long, and the same examples shuffled."""
    epoch = epoch_batches(lengths, batch_size, 0, 0, True)
    by_length = epoch[np.argsort([lengths[batch].max() for batch in epoch], kind="stable")]
    chosen = by_length[np.linspace(0, len(by_length) - 1, steps).round().astype(int)]
    mixed = np.random.default_rng(0).permutation(chosen.ravel()).reshape(steps, batch_size)
    return list(chosen), list(mixed)


def _padding(examples: Examples, batches: list[np.ndarray]) -> float:
    """Share of the tokens in `batches` that are padding."""
    tokens = sum(int(examples.lengths[batch].sum()) for batch in batches)
    width = [examples.pad_to or int(examples.lengths[batch].max()) for batch in batches]
    return 1 - tokens / sum(w * len(batch) for w, batch in zip(width, batches, strict=True))
