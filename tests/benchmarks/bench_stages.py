"""Examples/s of plain training at ZeRO 0 to 2 beside torch's DistributedDataParallel, on all ranks of a launcher.

    torchrun --nproc_per_node 2 -m tests.benchmarks.bench_stages MODEL_FOLDER CELL [PRECISION] [ROUNDS]

All train the same encoder, trimmed to the words of the cell and with this project's dropout and attention for CPUs, on
the same batches of 32 rows, in turns; the median counts. DistributedDataParallel takes torch's fused AdamW, clips the
norm, and autocasts in bf16. ZeRO 3 replaces torch's linear layers and allocator settings in its whole process, and is
left out.
"""

from __future__ import annotations

import copy
import statistics
import sys
from collections.abc import Callable, Sequence

import torch
from torch.nn.parallel import DistributedDataParallel

from trainer.bench.peers import LINES, PAIRS, batches_of, classifier, recipe_of
from trainer.distributed.ranks import find_ranks
from trainer.engine.build import build_engine
from trainer.engine.engine import start_distributed
from trainer.kernels import dispatch
from trainer.kinds.batch import Batch
from trainer.loop import run_steps
from trainer.model.cpu import fit_to_cpu
from trainer.model.site import SiteModel
from trainer.model.vocabulary import trim_vocabulary
from trainer.runs.state import TrainState
from trainer.size.machine import now

ROWS, STEPS = 32, 3
STAGES = {"fp32": (0, 1, 2), "bf16": (1, 2)}


def main(folder: str, cell: str, precision: str = "fp32", rounds: str = "5") -> None:
    """Measure, and print on rank 0."""
    ranks = find_ranks()
    batches, words = batches_of(cell, ROWS, STEPS)
    mine = [batch.map(lambda values: values[ranks.rank::ranks.world_size]) for batch in batches]
    device = torch.device("cuda", ranks.local_rank) if torch.cuda.is_available() else torch.device("cpu")
    start_distributed(ranks)
    model = classifier(folder, "", 0)
    trim_vocabulary([model], words)
    fit_to_cpu(model, precision)
    turns = int(rounds) + 1
    sides: dict[str, Callable[[], None]] = {
        f"ZeRO {stage}": of_engine(copy.deepcopy(model), stage, precision, mine, turns) for stage in STAGES[precision]}
    sides["DistributedDataParallel"] = of_torch(model.to(device), precision, [batch.to(device) for batch in mine])
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(turns):
        for name, train in sides.items():
            begin = now(device)
            train()
            if turn:  # the first one warms up
                seconds[name].append((now(device) - begin) / STEPS)
    plain = seconds["DistributedDataParallel"]
    for name, found in seconds.items() if ranks.is_main else ():
        ratios = [other / own for other, own in zip(plain, found, strict=True)]
        print(f"{name}: {ROWS / statistics.median(found):.1f} examples/s, {statistics.median(ratios):.2f} times "
              f"DistributedDataParallel ({min(ratios):.2f} to {max(ratios):.2f})")


def of_engine(model: torch.nn.Module, stage: int, precision: str, batches: Sequence[Batch],
              turns: int) -> Callable[[], None]:
    """Function that trains `model` on `batches` with the shipped configuration of a stage."""
    recipe = recipe_of(LINES["plain"], ROWS, turns * STEPS, precision, f"zero{stage}", freeze=False)
    engine = build_engine(SiteModel(model, PAIRS, "word_embeddings"), recipe, find_ranks(), turns * STEPS)
    _, kernels = dispatch.select("auto")
    return lambda: run_steps(engine, recipe, iter([[batch] for batch in batches]), TrainState(), len(batches), kernels,
                             lambda window, done: None)


def of_torch(model: torch.nn.Module, precision: str, batches: Sequence[Batch]) -> Callable[[], None]:
    """Function that trains `model` on `batches` as a plain loop does."""
    parallel = DistributedDataParallel(model.train())
    optimizer = torch.optim.AdamW(parallel.parameters(), lr=5e-5, fused=True)

    def train() -> None:
        for batch in batches:
            with torch.autocast(batch.input_ids.device.type, torch.bfloat16, enabled=precision == "bf16"):
                loss = parallel(input_ids=batch.input_ids, attention_mask=batch.attention_mask,
                                labels=batch.targets["labels"]).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parallel.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return train


if __name__ == "__main__":
    main(*sys.argv[1:])
