"""Small runs for tests: cells of random tokens, a recipe over them, and training in this very process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from data_prep.shards.template import InputTemplate
from tests.conftest import LAUNCHER
from tests.random_cells import PLAIN, VOCABULARY, write_random_cell
from trainer.monitor.meter import Meter
from trainer.monitor.step_reduction import StepResult
from trainer.monitor.watcher import Watcher
from trainer.train import train

# At ZeRO 3 DeepSpeed leaves weights as small as those of the tests whole on every rank, unless it is told not to.
ZERO3 = {"engine.config": str(Path(__file__).with_name("zero3_sharded.json"))}
TAGS = {"data.train": "[udpos/train/en]", "data.dev": "[udpos/dev/en]"}
TEXT = {"data.train": "[text/train/en]", "data.dev": "[text/dev/en]"}
SCORES = {"data.train": "[stsb/train/en]", "data.dev": "[stsb/dev/en]"}
RANKING = {"data.train": "[wpr/train/en]", "data.dev": "[wpr/dev/en]"}
PGD = {"robust.method": "pgd", "robust.ascent_steps": "2", "robust.start": "uniform", "robust.epsilon": "1.0"}


class Interrupted(Exception):
    """Stands for a process that dies."""


def write_cells(root: Path, template: InputTemplate = PLAIN, used: int = VOCABULARY - 1) -> None:
    """Cells for runs of the kinds that are trained, below `root`; used: as in `write_random_cell`."""
    for name, rows, kind in (("xnli/train/en", 60, "pair"), ("xnli/dev/en", 20, "pair"), ("xnli/dev/de", 20, "pair"),
                             ("text/train/en", 60, "mlm"), ("text/dev/en", 20, "mlm"),
                             ("udpos/train/en", 60, "tagging"), ("udpos/dev/en", 20, "tagging"),
                             ("stsb/train/en", 60, "regression"), ("stsb/dev/en", 20, "regression"),
                             ("wpr/train/en", 60, "ranking"), ("wpr/dev/en", 20, "ranking")):
        write_random_cell(root, name, rows, kind=kind, seed=len(name) + rows, template=template, used=used)


def write_recipe(folder: Path, shards: Path) -> Path:
    """A recipe of ten updates in `folder`; its runs go to `folder/runs`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.yaml"
    path.write_text(
        f"output: {folder / 'runs'}\nseed: 7\ndata: {{shards: {shards}, train: [xnli/train/en], dev: [xnli/dev/en]}}\n"
        "model: {random: tiny}\nbatch: {size: 8}\noptimizer: {lr: 0.001}\nschedule: {max_steps: 10}\n"
        "logging: {every_steps: 1}\nevaluation: {every_steps: 2}\ncheckpoint: {every_steps: 3}\n", encoding="utf-8")
    return path


def run(recipe: Path, name: str, overrides: dict[str, str] | None = None) -> Path:
    """Train `recipe` under `name` in this process and return the run's folder."""
    with launcher_variables_kept():
        assert train(str(recipe), name=name, **(overrides or {})) == 0
    return recipe.parent / "runs" / name


@contextmanager
def launcher_variables_kept() -> Iterator[None]:
    """Training writes launcher variables for torch.distributed; processes that later tests start must not see them.

    Nor must later runs see the linear that a ZeRO-3 run leaves behind when it dies.
    """
    linear = torch.nn.functional.linear
    before = {key: os.environ[key] for key in LAUNCHER if key in os.environ}
    try:
        yield
    finally:
        torch.nn.functional.linear = linear
        for key in LAUNCHER:
            os.environ.pop(key, None)
        os.environ.update(before)


@contextmanager
def killed_at(update: int, *, before_it_is_logged: bool = False) -> Iterator[None]:
    """Within: training dies right after `update` updates; with `before_it_is_logged`, before anything is kept of it."""
    original = Watcher.__call__

    def call(self: Watcher, meter: Meter, result: StepResult) -> None:
        if self.state.step != update or not before_it_is_logged:
            original(self, meter, result)
        if self.state.step == update:
            self.saver.store.wait()  # a thread of this process does not die with the run, as it would otherwise
            raise Interrupted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Watcher, "__call__", call)
        with pytest.raises(Interrupted):
            yield


def metrics_of(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without the speeds, which no two runs share."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if not key.endswith("_per_second")}
            for line in lines]


def losses_of(folder: Path) -> list[float]:
    """The training losses in metrics.jsonl."""
    return [line["train/loss"] for line in metrics_of(folder) if "train/loss" in line]


def weights_of(folder: Path) -> dict[str, Tensor]:
    """The weights of a run's best checkpoint."""
    return load_file(folder / "best" / "model.safetensors")


def tree_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file and folder below `folder` with its time of change and content: equal only if nothing was touched."""
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
            for path in sorted(folder.rglob("*"))}
