"""A run goes on with another number of ranks: parameters, moments and learning rate equal number by number."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from tests.chaos.ranks import start
from tests.trainer.small_runs import ZERO3, metrics_of

WORLDS = [(2, 1), (1, 2), (2, 3), (4, 2)]
CASES = [(stage, *world, precision) for stage in range(4) for world in WORLDS for precision in ("fp32", "bf16")
         if stage or precision == "fp32"]
DEFAULT = [(0, 4, 2, "fp32"), (1, 2, 3, "fp32"), (2, 2, 1, "fp32"), (3, 1, 2, "fp32")]


@pytest.fixture(scope="module")
def undisturbed(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The losses of the run on one rank, without ZeRO, never interrupted."""
    whole = start(1, command_of(recipe, 0, "fp32", "whole"), tmp_path_factory.mktemp("whole"))
    assert whole.wait() == [0], whole.said()
    return losses_of(recipe.parent / "runs/whole")


def losses_of(folder: Path) -> list[float]:
    return [line["train/loss"] for line in metrics_of(folder) if "train/loss" in line]


def command_of(recipe: Path, stage: int, precision: str, name: str) -> list[str]:
    config = ZERO3["engine.config"] if stage == 3 else f"zero{stage}"
    return ["train", str(recipe), f"--name={name}", f"--engine.config={config}", f"--engine.precision={precision}",
            "--batch.size=12", "--model.dropout=0", "--checkpoint.every_steps=4", "--checkpoint.keep_when_done=true",
            "--schedule.max_steps=8", "--robust.method=smart", "--robust.bregman_weight=1",
            "--evaluation.every_steps=8"]


def kill_after_four_updates(world: int, command: list[str], scratch: Path, folder: Path) -> None:
    """One life of the run, which hangs after its first checkpoint and is killed; its whole state is in `scratch`."""
    ranks = start(world, command, scratch, {"dump": str(scratch), "hang": {"step": 6, "rank": 0}})
    end = time.monotonic() + 120
    while not (folder / "checkpoints/step-00000004/manifest.json").exists():
        assert time.monotonic() < end, ranks.said()
        time.sleep(0.1)
    ranks.kill()
    ranks.wait()


@pytest.mark.parametrize(("stage", "before", "after", "precision"), [
    case if case in DEFAULT else pytest.param(*case, marks=pytest.mark.full) for case in CASES])
def test_nothing_is_lost(recipe: Path, undisturbed: list[float], tmp_path: Path, stage: int, before: int, after: int,
                         precision: str) -> None:
    name = f"{stage}-{before}-{after}-{precision}"
    command = command_of(recipe, stage, precision, name)
    folder = recipe.parent / "runs" / name
    kill_after_four_updates(before, command, tmp_path, folder)
    second = start(after, command, tmp_path, {"dump": str(tmp_path)})
    assert second.wait() == [0] * after, second.said()
    assert "resumed after step 4" in second.said()
    saved, restored = (torch.load(tmp_path / f"{when}-4.pt", weights_only=False) for when in ("saved", "restored"))
    assert saved.keys() == restored.keys()
    assert saved["learning_rate"] == restored["learning_rate"]
    assert [group["weight_decay"] for group in restored["groups"]] == [0.01, 0.0]
    assert set(saved["steps"]) == set(restored["steps"]) == {4.0}
    at_the_end = torch.load(tmp_path / "saved-8.pt", weights_only=False)
    assert set(at_the_end["steps"]) == {8.0}
    tensors = [key for key, value in saved.items() if isinstance(value, torch.Tensor)]
    assert sum(key.endswith("/exp_avg_sq") for key in tensors) > 20
    for key in tensors:
        assert torch.equal(saved[key], restored[key]), key
    assert not list((folder / "checkpoints").glob(".*"))
    assert losses_of(folder) == pytest.approx(undisturbed, rel=2e-5 if precision == "fp32" else 2e-2)


def test_weights_alone_are_taken_on_request(recipe: Path, tmp_path: Path) -> None:
    """From ZeRO 2 to 3, which DeepSpeed cannot convert."""
    command = [*command_of(recipe, 2, "fp32", "stages")]
    kill_after_four_updates(1, command, tmp_path, recipe.parent / "runs/stages")
    other = [f"--engine.config={ZERO3['engine.config']}" if word.startswith("--engine.config") else word
             for word in command]
    refused = start(1, other, tmp_path)
    assert refused.wait() == [2]
    assert "another recipe (engine.config" in refused.said()
    taken = start(1, [*other, "--checkpoint.resume=weights"], tmp_path, {"dump": str(tmp_path)})
    assert taken.wait() == [0], taken.said()
    assert "weights only" in taken.said()
    saved, restored = (torch.load(tmp_path / f"{when}-4.pt", weights_only=False) for when in ("saved", "restored"))
    assert saved["learning_rate"] == restored["learning_rate"]
    names = [key for key, value in saved.items() if isinstance(value, torch.Tensor) and "/" not in key]
    assert all(torch.equal(saved[key], restored[key]) for key in names)
