"""Worker: peak bytes of a training step under DeepSpeed, of each case given as JSON on the command line.

What stays between steps is summed over all tensors that Python knows; what a step adds is the profiler's.
"""

from __future__ import annotations

import gc
import json
import os
import sys

import torch
from transformers import AutoModelForSequenceClassification

from tests.trainer.size.cases import Case
from trainer.bench.memory import peak_bytes
from trainer.distributed.ranks import Ranks, find_ranks
from trainer.engine.build import build_engine
from trainer.engine.engine import start_distributed
from trainer.kernels import dispatch
from trainer.kinds import KINDS
from trainer.loop import run_steps
from trainer.model.cpu import fit_to_cpu
from trainer.model.site import SiteModel
from trainer.robust.settings import site_of
from trainer.runs.state import TrainState


def bytes_alive() -> int:
    """Bytes of all storages that Python's tensors refer to."""
    gc.collect()
    storages = {}
    for found in gc.get_objects():
        if issubclass(type(found), torch.Tensor) and found.device.type == "cpu":
            storage = found.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def measure(case: Case, ranks: Ranks) -> int:
    """Peak of the second step; in the first the optimiser has no moments yet."""
    before = bytes_alive()
    recipe = case.recipe(ranks.world_size)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(case.model_config())
    if case.checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    fit_to_cpu(model, case.precision)
    engine = build_engine(SiteModel(model, KINDS["pair"], site_of(recipe.robust)), recipe, ranks, 4)
    _, kernels = dispatch.select("auto")
    state = TrainState()
    batches = [[case.batch(i) for i in range(case.accumulation)]] * 2
    run_steps(engine, recipe, iter(batches), state, 1, kernels, lambda window, done: None)
    stays = bytes_alive() - before
    with peak_bytes(engine.device) as (_, peaks):
        run_steps(engine, recipe, iter(batches), state, 2, kernels, lambda window, done: None)
    engine.close()
    return stays + max(peaks.values())


def main() -> None:
    """Print a line of JSON per case."""
    ranks = find_ranks()
    start_distributed(ranks)
    for fields in json.loads(sys.argv[1]):
        peak = measure(Case(**fields), ranks)
        if ranks.is_main:
            print(json.dumps({"peak": peak}), flush=True)
    torch.distributed.barrier()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
