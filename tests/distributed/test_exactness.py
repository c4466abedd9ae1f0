"""Rule 1: an update is the gradient of the mean over the global batch, whatever the ranks, accumulation and stage.

Every case trains through the product and is compared with `tests/oracle.py`, a plain single-process loop.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests import oracle
from tests.random_cells import write_random_cell
from trainer.config import load_recipe
from trainer.launch import free_port

ROOT = Path(__file__).parents[2]
METHODS = {
    "plain": {},
    "pgd": {"robust.method": "pgd", "robust.steps": "2", "robust.start": "uniform", "robust.epsilon": "1.0",
            "robust.clean_weight": "1.0"},
    "random_noise": {"robust.method": "random_noise", "robust.draws": "2", "robust.epsilon": "1.0"},
}
STAGES = (0, 1, 2, 3)
WORLDS = (1, 2)
MICRO_SIZES = (None, 2)  # None: no accumulation; 2: four steps on one rank, two on two
UPDATES = 10
RTOL, ATOL = 1e-5, 2e-7  # the floor is for biases that are zero but for rounding, such as those of attention keys
ADAM_LOSS_RTOL = 2e-4


def case_name(method: str, stage: int, world: int, micro: int | None, optimizer: str) -> str:
    return f"{method}-z{stage}-w{world}-m{micro or 'all'}-{optimizer}"


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("exactness")
    write_random_cell(root / "shards", "xnli/train/en", 60)
    path = root / "exact.yaml"
    path.write_text(
        f"output: {root / 'runs'}\nseed: 7\ndata: {{shards: {root / 'shards'}, train: [xnli/train/en]}}\n"
        "model: {random: tiny, dropout: 0.0}\nbatch: {size: 8}\n"
        f"schedule: {{updates: {UPDATES}}}\nlogging: {{every: 1}}\nevaluation: {{every: 100}}\n"
        "checkpoint: {every: 100}\n", encoding="utf-8")
    return path


def overrides_of(method: str, stage: int, world: int, micro: int | None, optimizer: str) -> dict[str, str]:
    values = {"name": case_name(method, stage, world, micro, optimizer), "engine.config": f"zero{stage}",
              "optimizer.name": optimizer, "optimizer.lr": "0.3" if optimizer == "sgd" else "0.001",
              "optimizer.clip_norm": "0.5", **METHODS[method]}
    return values | ({"batch.micro_size": str(micro)} if micro else {})


@pytest.fixture(scope="session")
def trained(recipe_file: Path) -> Path:
    """The folder of the runs of all cases: one start per number of ranks."""
    for world in WORLDS:
        cases = [[str(recipe_file), overrides_of(method, stage, world, micro, "sgd")]
                 for method in METHODS for stage in STAGES for micro in MICRO_SIZES]
        cases += [[str(recipe_file), overrides_of(method, stage, world, None, "adamw")]
                  for method in METHODS for stage in STAGES]
        run_on_ranks(world, cases, recipe_file.with_name(f"cases-{world}.json"))
    return recipe_file.parent / "runs"


def run_on_ranks(world: int, cases: list[list[object]], file: Path) -> None:
    file.write_text(json.dumps(cases), encoding="utf-8")
    port = str(free_port())
    command = [sys.executable, str(ROOT / "tests/distributed/run_cases.py"), str(file)]
    logs = [file.with_suffix(f".rank{rank}.log") for rank in range(world)]
    processes = []
    for rank, log in enumerate(logs):
        env = os.environ | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world),
                            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        with log.open("w", encoding="utf-8") as stream:
            processes.append(subprocess.Popen(command, env=env, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT))
    codes = [process.wait(timeout=500) for process in processes]
    assert codes == [0] * world, "\n".join(log.read_text(encoding="utf-8")[-3000:] for log in logs)


@pytest.fixture(scope="session")
def oracles(recipe_file: Path) -> dict[tuple[str, str], tuple[dict[str, torch.Tensor], list[float]]]:
    cases = [(method, optimizer) for method in METHODS for optimizer in ("sgd", "adamw")]
    return {case: oracle.train(load_recipe(str(recipe_file), overrides_of(case[0], 0, 1, None, case[1])))
            for case in cases}


@pytest.mark.parametrize("micro", MICRO_SIZES)
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("method", METHODS)
def test_parameters_equal_the_plain_loop(trained: Path, oracles: dict, method: str, stage: int, world: int,
                                         micro: int | None) -> None:
    expected, losses = oracles[method, "sgd"]
    run = trained / case_name(method, stage, world, micro, "sgd")
    found = load_file(run / "best" / "model.safetensors")
    print(f"largest relative error {largest_error(found, expected):.1e}")  # shown by -rP
    for key, value in found.items():
        torch.testing.assert_close(value, expected[key], rtol=RTOL, atol=ATOL, msg=lambda m, key=key: f"{key}: {m}")
    assert train_losses(run) == pytest.approx(losses, rel=1e-5)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("method", METHODS)
def test_adamw_loss_curve_equals_the_plain_loop(trained: Path, oracles: dict, method: str, stage: int,
                                                world: int) -> None:
    _, losses = oracles[method, "adamw"]
    found = train_losses(trained / case_name(method, stage, world, None, "adamw"))
    assert found == pytest.approx(losses, rel=ADAM_LOSS_RTOL)
    assert losses[0] != pytest.approx(losses[-1], rel=10 * ADAM_LOSS_RTOL), "the model must learn for this to say much"


def test_methods_and_training_move_the_parameters(oracles: dict, recipe_file: Path) -> None:
    """The comparison could not fail if methods made no difference or training stood still."""
    plain, pgd, noise = (oracles[method, "sgd"][0] for method in ("plain", "pgd", "random_noise"))
    start = oracle.train(load_recipe(str(recipe_file), overrides_of("plain", 0, 1, None, "sgd")
                                     | {"optimizer.lr": "1e-12"}))[0]
    for one, other in ((plain, start), (plain, pgd), (plain, noise), (pgd, noise)):
        assert largest_error(one, other) > 100 * RTOL


def largest_error(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """The largest difference over all tensors, each relative to its largest entry (at least 0.01)."""
    return max(float((found[k] - expected[k]).abs().max() / expected[k].abs().max().clamp(min=1e-2)) for k in found)


def train_losses(run: Path) -> list[float]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").split("\n")
    records = [json.loads(line) for line in lines if line]
    return [record["train/loss"] for record in records if "train/loss" in record]
