"""Memory on paper against peaks measured under DeepSpeed, at every stage, on one rank and two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForSequenceClassification

from tests.trainer.size.cases import Case
from trainer.distributed.ranks import free_port
from trainer.engine.ds_config import read_engine_config
from trainer.kinds import KINDS
from trainer.size.memory import Plan, memory_of, owned_numel
from trainer.size.passes import Weight, run_on_paper

ROOT = Path(__file__).parents[3]
TINY = {"size": "tiny", "layers": None, "vocabulary": 20_000, "rows": 8, "length": 48}
STAGES = ("zero0", "zero1", "zero2", "zero2_offload", "zero3", "zero3_offload")
# A layer of base, whose weights and activations count beside the words; buckets dwarf the tiny model.
CASES = [*(Case(config) for config in STAGES), *(Case(config, **TINY) for config in ("zero0", "zero1", "zero3")),
         *(Case(config, "bf16", fused=True) for config in ("zero1", "zero2", "zero3")),
         Case("zero0", accumulation=2), Case("zero1", accumulation=2), Case("zero2", "bf16", accumulation=2),
         Case("zero2", method="pgd", rows=16, length=64), Case("zero0", method="smart", rows=16, length=64),
         Case("zero0", rows=16, length=128, layers=2, checkpointing=True)]


def computed(case: Case, ranks: int) -> int:
    recipe = case.recipe(ranks)
    weights, cost = run_on_paper(
        case.model_config(), AutoModelForSequenceClassification, KINDS["pair"], case.batch(0), recipe.robust,
        case.precision, checkpointing=case.checkpointing, frozen_words=False)
    zero = read_engine_config(case.config)["zero_optimization"]
    return memory_of(weights, cost, Plan(zero, ranks, case.precision, "adamw", case.fused, case.accumulation,
                                         recipe.robust.ema_decay is not None)).together


def measured(cases: list[Case], ranks: int) -> list[int]:
    words = json.dumps([case.as_dict() for case in cases])
    port = free_port()
    workers = [subprocess.Popen(
        [sys.executable, "-m", "tests.trainer.size.measured", words], cwd=ROOT, text=True, stderr=subprocess.PIPE,
        stdout=subprocess.PIPE, env={**os.environ, "RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_RANK": str(rank),
                                     "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"})
        for rank in range(ranks)]
    said = [worker.communicate(timeout=600) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * ranks, said[0][1][-2000:]
    return [int(json.loads(line)["peak"]) for line in said[0][0].splitlines() if line.startswith('{"peak"')]


def ratios_of(cases: list[Case], ranks: int) -> dict[Case, float]:
    """Computed over measured peak of each case."""
    return {case: computed(case, ranks) / peak for case, peak in zip(cases, measured(cases, ranks), strict=True)}


def assert_close(cases: list[Case], ranks: int) -> None:
    """Within 15 %. On a busy machine a rank that is late makes the other hold a bucket longer, which is no part of the
    sum on paper: a case that is off is measured once more."""
    ratios = ratios_of(cases, ranks)
    if off := [case for case, ratio in ratios.items() if not 0.85 < ratio < 1.15]:
        ratios |= ratios_of(off, ranks)
    print({f"{case}": round(ratio, 3) for case, ratio in ratios.items()})
    assert {case: ratio for case, ratio in ratios.items() if not 0.85 < ratio < 1.15} == {}


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_every_stage_method_and_precision(ranks: int) -> None:
    assert_close(CASES, ranks)


def test_owned_weights_are_those_that_a_part_touches() -> None:
    """Matrices 10 + 2 + 4 over two ranks: the first owns 8 of the 10, the second the rest and all others."""
    weights = [Weight("a", 10, 2, True), Weight("b", 2, 2, True), Weight("c", 4, 2, True), Weight("d", 6, 2, False),
               Weight("bias", 4, 1, True)]
    assert owned_numel(weights, 1) == 20
    assert owned_numel(weights, 2) == 16 + 4
