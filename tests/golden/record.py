"""Records the loss of every step of small runs, to be compared by `test_losses.py`.

    python -m tests.golden.record

rewrites `losses.json` beside this file: do so only where a change is meant to change what training computes. The runs
use the reference kernels (and the compiled dropout), one process and one thread; cells, model and recipe are those of
`small_runs`, started with random weights of the tests' tiny model. Losses are written as hexadecimal floats, which keep
every bit.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.trainer.small_runs import metrics_of, run, write_cells, write_recipe

FILE = Path(__file__).with_name("losses.json")
STEPS = 10
RTOL = 1e-5
# Two micro-batches a step, dropout, warm-up, weight decay and clipping: all that a step is made of.
COMMON = {"kernels": "reference", "schedule.max_steps": str(STEPS), "schedule.warmup_ratio": "0.2",
          "batch.micro_batch_size": "4", "model.dropout": "0.1", "optimizer.lr": "0.003",
          "optimizer.max_grad_norm": "1.0", "evaluation.every_steps": str(STEPS), "checkpoint.every_steps": str(STEPS)}
METHODS: Mapping[str, Mapping[str, str]] = {
    "plain": {},
    "pgd": {"ascent_steps": "2", "start": "uniform", "epsilon": "1.0", "clean_weight": "1.0"},
    "smart": {"ascent_steps": "1", "epsilon": "1.0", "start_radius": "0.5", "smoothness_weight": "5.0",
              "bregman_weight": "1.0", "bregman_momentum": "0.5"},
}
PACKAGES = ("torch", "transformers", "deepspeed", "numpy")


@dataclass(frozen=True)
class Difference:
    """A loss that is not the recorded one."""

    method: str
    step: int
    """From 1."""
    recorded: float
    found: float

    def __str__(self) -> str:
        apart = abs(self.found - self.recorded) / abs(self.recorded)
        return (f"{self.method}, step {self.step}: {self.found.hex()} ({self.found!r}), recorded {self.recorded.hex()} "
                f"({self.recorded!r}), relative difference {apart:.1e}")


def measure(root: Path, method: str) -> list[float]:
    """The mean training loss of every step under `method`; cells and run are written below `root`."""
    shards = root / "shards"
    if not shards.is_dir():
        write_cells(shards)
    settings = {f"robust.{key}": value for key, value in METHODS[method].items()}
    with one_thread():
        folder = run(write_recipe(root / "work", shards), f"golden-{method}",
                     {**COMMON, "robust.method": method, **settings})
    losses = [line["train/loss"] for line in metrics_of(folder) if "train/loss" in line]
    if len(losses) != STEPS:
        raise RuntimeError(f"{method}: {len(losses)} losses were logged, expected one for each of {STEPS} steps")
    return losses


def fingerprint() -> dict[str, str]:
    """What the last bits depend on beside our code: package versions, the processor, and what limits its use."""
    first = _first_processor()
    flags = sorted(flag for flag in first.get("flags", "").split()
                   if flag.startswith(("sse4", "avx", "fma", "f16c", "bmi", "amx")))
    return {
        **{package: importlib.metadata.version(package) for package in PACKAGES},
        "machine": platform.machine(), "capability": torch.backends.cpu.get_cpu_capability(),
        "processor": " ".join(first.get(key, "?") for key in ("vendor_id", "cpu family", "model")),
        "flags": " ".join(flags),
        "limits": " ".join(f"{name}={os.environ[name]}" for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA",
                           "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR") if name in os.environ),
    }


def differences(method: str, recorded: Sequence[float], found: Sequence[float], exact: bool) -> list[Difference]:
    """Steps whose losses differ: at all where `exact`, by more than RTOL of the recorded one otherwise.

    NaN differs from everything. Raises ValueError where the numbers of steps differ.
    """
    return [Difference(method, step, old, new) for step, (old, new) in enumerate(zip(recorded, found, strict=True), 1)
            if not (new == old or (not exact and abs(new - old) <= RTOL * abs(old)))]


def read() -> tuple[dict[str, str], dict[str, list[float]]]:
    """(fingerprint, losses by method) as recorded."""
    content = json.loads(FILE.read_text(encoding="utf-8"))
    return content["fingerprint"], {method: [float.fromhex(text) for text in losses]
                                    for method, losses in content["losses"].items()}


@contextmanager
def one_thread() -> Iterator[None]:
    """Within: torch computes in one thread, since sums over several are added in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _first_processor() -> dict[str, str]:
    """/proc/cpuinfo of the first processor, by key; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def main() -> None:
    """Rewrite the recorded losses."""
    with tempfile.TemporaryDirectory() as root:
        losses = {method: [loss.hex() for loss in measure(Path(root), method)] for method in METHODS}
    text = json.dumps({"fingerprint": fingerprint(), "losses": losses}, indent=1)
    FILE.write_text(text + "\n", encoding="utf-8")
    print(f"{FILE}: {STEPS} losses for each of {', '.join(METHODS)}")


if __name__ == "__main__":
    main()
