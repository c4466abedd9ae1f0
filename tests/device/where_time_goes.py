"""Where the time of a plain training step goes on this device: functions of Python, operations, kernels.

    python -m tests.device.where_time_goes [SIZE]
"""

from __future__ import annotations

import cProfile
import pstats
import sys

import torch
from torch.profiler import ProfilerActivity, profile

from trainer.bench.peers import LINES, LONGEST, PAIRS, random_batches, recipe_of
from trainer.bench.steps import model_of
from trainer.distributed.ranks import find_ranks
from trainer.engine.build import build_engine
from trainer.engine.engine import start_distributed
from trainer.kernels import dispatch
from trainer.loop import run_steps
from trainer.model.cpu import fit_to_cpu
from trainer.model.site import SiteModel
from trainer.model.vocabulary import trim_vocabulary
from trainer.runs.state import TrainState
from trainer.size.machine import now

STEPS, BATCH, VOCABULARY = 10, 32, 250_002


def main(size: str) -> None:
    """Profile some steps in bf16, after some that warm up."""
    ranks, (batches, words) = find_ranks(), random_batches(BATCH, VOCABULARY, STEPS)
    recipe = recipe_of(LINES["plain"], BATCH, 100 * STEPS, "bf16", None, freeze=False)
    start_distributed(ranks)
    model = model_of(size, LONGEST, VOCABULARY)
    fit_to_cpu(model, "bf16")
    trim_vocabulary([model], words)
    engine = build_engine(SiteModel(model, PAIRS, "word_embeddings"), recipe, ranks, 100 * STEPS)
    _, kernels = dispatch.select("auto")

    def train() -> float:
        begin = now(engine.device)
        run_steps(engine, recipe, iter([[batch] for batch in batches]), TrainState(), STEPS, kernels,
                  lambda window, done: None)
        return (now(engine.device) - begin) / STEPS

    for _ in range(3):
        print(f"{1000 * train():.1f} ms per step", flush=True)
    with cProfile.Profile() as functions:
        train()
    pstats.Stats(functions).sort_stats("tottime").print_stats(25)
    cuda = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
    with profile(activities=[ProfilerActivity.CPU, *cuda]) as operations:
        train()
    for order in ("self_cpu_time_total", *(["self_cuda_time_total"] if cuda else [])):
        print(operations.key_averages().table(sort_by=order, row_limit=15, max_name_column_width=60))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tiny")
