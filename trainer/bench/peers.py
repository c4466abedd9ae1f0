"""`python -m trainer bench peers`: training throughput beside Hugging Face's `Trainer`, as it is usually set up.

Both train the same model on the same batches of like length, padded to the longest of each batch, in turns within one
process. Ours is the training loop on a DeepSpeed engine; theirs is `Trainer` with its defaults (fused AdamW, autocast
for bf16), and for robust methods a subclass whose passes are all full ones (`hugging_face`). The share of the matmul
rate counts the operations that a step needs, from shapes, for both sides: a forward pass and twice as many in a
backward pass, of which an ascent step needs the half that leads to its input.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoConfig, AutoModelForSequenceClassification

from data_prep.base.errors import InputError
from data_prep.shards.read import open_cell
from data_prep.shards.template import InputTemplate
from trainer.bench.hugging_face import Comparison, why_left_out
from trainer.bench.memory import BEFORE, peak_bytes
from trainer.bench.steps import EPSILON, model_of
from trainer.config import Recipe
from trainer.data.collate import collate
from trainer.data.loader import Examples
from trainer.data.sampler import epoch_batches
from trainer.distributed.ranks import find_ranks
from trainer.engine.build import build_engine
from trainer.engine.engine import start_distributed
from trainer.kernels import dispatch
from trainer.kinds import KINDS
from trainer.kinds.batch import Batch
from trainer.kinds.tokens import Tokens
from trainer.loop import run_steps
from trainer.model.compiled import compile_layers
from trainer.model.cpu import fit_to_cpu
from trainer.model.encoders import RANDOM
from trainer.model.pretrained import load_model
from trainer.model.site import SiteModel
from trainer.model.vocabulary import tokens_in, trim_vocabulary
from trainer.robust import settings_for
from trainer.runs.state import TrainState
from trainer.size.machine import matmul_rate, name_of, now
from trainer.size.run import WORDS

# Tokens of MultiNLI's pairs in XLM-R's vocabulary: log-normal with these moments (mean 47, 90th percentile 75).
LOG_LENGTH, LOG_SPREAD, LONGEST = 3.76, 0.45, 128
CALLED = {"ours": "trainer", "theirs": "HF Trainer"}
PAIRS = KINDS["pair"]
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Line:
    """A method: our settings, and the forward passes that the operations of a step are worth."""

    robust: dict[str, str | int | float]
    passes: int


LINES = {
    "plain": Line({"method": "plain"}, 3),
    "random noise": Line({"method": "random_noise"}, 3),
    "pgd K=1": Line({"method": "pgd", "ascent_steps": 1}, 5),
    "pgd K=3": Line({"method": "pgd", "ascent_steps": 3}, 9),
}


@dataclass(frozen=True)
class Setup:
    """Model, batches and engine settings of both sides; the flags of `bench_peers`."""

    size: str
    model: str | None
    cell: str | None
    batch_size: int
    vocabulary: int
    precision: str
    engine: str | None
    freeze: bool
    compile: bool


def measure_peers(setup: Setup, steps: int, rounds: int, only: str | None, seconds_at_most: float | None) -> int:
    """Print throughput, share of the matmul rate and peak memory of both sides, as `bench_peers` says."""
    size, precision, batch_size, vocabulary = setup.size, setup.precision, setup.batch_size, setup.vocabulary
    if size not in RANDOM.sizes or precision not in PRECISIONS or min(steps, rounds, batch_size) < 1:
        raise InputError(f"--size must be one of {', '.join(RANDOM.sizes)}, --precision fp32 or bf16, numbers at least "
                         f"1; found {size!r}, {precision!r}")
    lines = {name: line for name, line in LINES.items() if only is None or only in name}
    if not lines:
        raise InputError(f"--only {only!r} is in no line; lines: {', '.join(LINES)}")
    ranks = find_ranks()
    batches, words = (random_batches(batch_size, vocabulary, steps) if setup.cell is None
                      else batches_of(setup.cell, batch_size, steps))
    model = classifier(setup.model, size, max(vocabulary, int(words.max()) + 1))
    model.get_input_embeddings().weight.requires_grad_(not setup.freeze)
    missing = why_left_out(ranks.world_size)
    number = (rounds + 2) * steps * len(lines)
    recipes = {name: recipe_of(line, batch_size, number, precision, setup.engine, setup.freeze)
               for name, line in lines.items()}
    peer = None if missing else Comparison(
        copy.deepcopy(model), batches, bf16=precision == "bf16", compiled=setup.compile)
    start_distributed(ranks)
    trim_vocabulary([model], words)
    site_model = SiteModel(model, PAIRS, "word_embeddings")
    fit_to_cpu(model, precision)
    if setup.compile:
        compile_layers(model)
    engine = build_engine(site_model, next(iter(recipes.values())), ranks, number)
    backend, kernels = dispatch.select("auto")

    def ours(name: str, some: Sequence[Batch]) -> float:
        begin = now(engine.device)
        run_steps(engine, recipes[name], iter([[batch] for batch in some]), TrainState(), len(some), kernels,
                  lambda window, done: None)
        return (now(engine.device) - begin) / len(some)

    sides: dict[str, Callable[[str, Sequence[Batch]], float]] = {"ours": ours}
    if peer is not None:
        sides["theirs"] = peer.run
    seconds = in_turns(sides, list(lines), batches, rounds, seconds_at_most)
    longest = max(batches, key=lambda batch: batch.input_ids.shape[1])
    peaks: dict[tuple[str, str], int] = {}
    for name, side in seconds:
        with peak_bytes(engine.device) as (_, found):
            sides[side](name, [longest])
        peaks[name, side] = found[BEFORE]
    rate = matmul_rate(engine.device, PRECISIONS[precision])
    title = (f"{setup.model or f'random weights of the shape of XLM-R {size}'}, {precision}, {shape_of(batches)}, ZeRO "
             f"{engine.stage}, kernels: {backend}{', frozen word embeddings' * setup.freeze}"
             f"{', compiled' * setup.compile}\n{name_of(engine.device)}, matmul {rate / 1e12:.3g} TFLOP/s")
    needed = operations(model.config, batches)
    Console().print(_table(seconds, peaks, batch_size, needed, rate, title))
    if missing:
        print(missing)
    return 0


def in_turns(sides: Mapping[str, Callable[[str, Sequence[Batch]], float]], lines: Sequence[str],
             batches: Sequence[Batch], rounds: int, seconds_at_most: float | None
             ) -> dict[tuple[str, str], list[float]]:
    """Seconds per step of every line and side, in turns; the first turn warms up and does not count."""
    seconds: dict[tuple[str, str], list[float]] = {(name, side): [] for name in lines for side in sides}
    ends = time.monotonic() + (seconds_at_most or float("inf"))
    for turn in range(rounds + 1):
        if turn > 1 and time.monotonic() > ends:
            break
        for name, side in seconds:
            seconds[name, side].append(sides[side](name, batches))
            rate = len(batches[0].input_ids) / seconds[name, side][-1]
            print(f"turn {turn}/{rounds}  {name}, {CALLED[side]}: {rate:.1f} examples/s", file=sys.stderr, flush=True)
    return seconds


def classifier(folder: str | None, size: str, vocabulary: int) -> Any:
    """The encoder in `folder` with a fresh head of three classes, or a random model of XLM-R's shape."""
    if folder is None:
        return model_of(size, LONGEST, vocabulary)
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, num_labels=3)
    return load_model(AutoModelForSequenceClassification, folder, config, "--model")[0]


def recipe_of(line: Line, batch_size: int, steps: int, precision: str, engine_config: str | None,
              freeze: bool) -> Recipe:
    """Recipe of one line; the engine's configuration is the default unless `engine_config` names one."""
    config = engine_config or ("zero0" if precision == "fp32" else "zero1")
    return Recipe.model_validate({
        "model": {"random": "tiny", "freeze_word_embeddings": freeze}, "data": {"train": ["none"]},
        "batch": {"size": batch_size}, "schedule": {"max_steps": steps}, "optimizer": {"lr": 5e-5},
        "engine": {"precision": precision, "config": config},
        "robust": settings_for(
            str(line.robust["method"]), {**line.robust, "epsilon": EPSILON, "relative": False})})


def random_batches(batch_size: int, vocabulary: int, steps: int) -> tuple[list[Batch], np.ndarray]:
    """(batches of like length of random ids, with the lengths and the number of different tokens of MultiNLI; ids that
    may occur)."""
    generator = np.random.default_rng(0)
    lengths = np.exp(generator.normal(LOG_LENGTH, LOG_SPREAD, steps * batch_size)).round().astype(int)
    lengths = np.sort(lengths.clip(8, LONGEST)).reshape(steps, batch_size)
    tokens = Tokens(InputTemplate(single="0 A 2", pair="0 A 2 2 B 2"), pad_id=1, mask_id=vocabulary - 1, unk_id=3,
                    vocab_size=vocabulary)
    batches, words = [], np.union1d(np.arange(min(WORDS, vocabulary - 1)), tokens.special)
    for row in lengths[generator.permutation(steps)]:
        firsts = (row - 4) * 2 // 3
        sizes = zip(firsts, row - 4 - firsts, strict=True)
        texts = [tuple(generator.integers(4, min(WORDS, vocabulary - 1), size) for size in pair) for pair in sizes]
        labels = torch.from_numpy(generator.integers(0, 3, batch_size))
        batches.append(replace(collate(texts, np.arange(batch_size), tokens, LONGEST), targets={"labels": labels}))
    return batches, words


def batches_of(cell: str, batch_size: int, steps: int) -> tuple[list[Batch], np.ndarray]:
    """(the first batches of an epoch of the pairs in `cell`, ids of the tokens in the cell)."""
    opened = open_cell(Path(cell))
    if KINDS[opened.manifest.kind] is not PAIRS:
        raise InputError(f"{cell}: kind {opened.manifest.kind}; sentence pairs are needed")
    examples = Examples([opened], min(LONGEST, opened.manifest.max_length))
    order = epoch_batches(examples.lengths, batch_size, 0, 0, True)[:steps]
    return [replace(batch := examples[0, rows], targets={"labels": batch.targets["labels"].clamp(max=2)})
            for rows in order], tokens_in([opened])


def shape_of(batches: Sequence[Batch]) -> str:
    """Rows and mean length of `batches`, in words."""
    rows = len(batches[0].input_ids)
    return f"batch {rows} x {np.mean([batch.input_ids.shape[1] for batch in batches]):.0f} tokens"


def operations(config: Any, batches: Sequence[Batch]) -> float:
    """FLOPs of a forward pass of the encoder's matrix products, mean over `batches`, padding included.

    Per token and layer 8 H^2 (projections of attention) + 4 H I (feed-forward) + 4 H L (attention over L tokens).
    """
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    dense = 8 * width**2 + 4 * width * inner
    return float(np.mean([batch.input_ids.numel() * layers * (dense + 4 * width * batch.input_ids.shape[1])
                          for batch in batches]))


def _table(seconds: dict[tuple[str, str], list[float]], peaks: dict[tuple[str, str], int], batch_size: int,
           needed: float, rate: float, title: str) -> Table:
    table = Table("method", "side", "examples/s", "ratio", "matmul rate", "peak memory of a step, MB", title=title)
    for (name, side), times in seconds.items():
        median = float(np.median(times[1:]))
        ratios = [other / own for own, other in zip(seconds[name, "ours"][1:], times[1:], strict=True)]
        ratio = "" if side == "ours" else f"ours {np.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"
        table.add_row(name, CALLED[side], f"{batch_size / median:.1f}", ratio,
                      f"{LINES[name].passes * needed / median / rate:.0%}", f"{peaks[name, side] / 1e6:,.0f}")
    return table
