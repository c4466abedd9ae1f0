"""Seconds from the start of a process to its next update: a run that begins, and one that was killed and goes on.

    python -m tests.benchmarks.bench_restart [ROUNDS]

Two ranks, ZeRO 2, the small model of the tests; the starts take turns, and the median counts.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.ranks import start
from tests.trainer.small_runs import PGD, write_cells, write_recipe


def seconds_to_next_update(recipe: Path, name: str, scratch: Path) -> float:
    """Start the run, wait for a new line of metrics.jsonl after its checkpoint if it has one, and kill it."""
    folder = recipe.parent / "runs" / name
    resumes = (folder / "metrics.jsonl").exists()
    command = ["train", str(recipe), f"--name={name}", "--engine.config=zero2", "--schedule.max_steps=100000",
               "--evaluation.every_steps=100000", "--checkpoint.every_steps=20",
               *(f"--{k}={v}" for k, v in PGD.items())]
    began = time.monotonic()
    ranks = start(2, command, scratch)
    while True:
        said = ranks.said()
        if (folder / "metrics.jsonl").exists() and ("resumed" in said) == resumes and "ZeRO 2" in said:
            before = (folder / "metrics.jsonl").stat().st_size
            while (folder / "metrics.jsonl").stat().st_size == before:
                time.sleep(0.005)
            seconds = time.monotonic() - began
            break
        time.sleep(0.005)
    while not list(folder.glob("checkpoints/step-*")):
        time.sleep(0.05)
    ranks.kill()
    ranks.wait()
    return seconds


def main(rounds: int) -> None:
    """Print the two medians and their ratio."""
    fresh, resumed = [], []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_cells(root / "shards")
        recipe = write_recipe(root / "work", root / "shards")
        for number in range(rounds):
            fresh.append(seconds_to_next_update(recipe, f"run{number}", root))
            resumed.append(seconds_to_next_update(recipe, f"run{number}", root))
    one, other = statistics.median(fresh), statistics.median(resumed)
    print(f"fresh start {one:.2f} s, after a kill {other:.2f} s, ratio {other / one:.2f} (bound 1.3); "
          f"{rounds} of each, medians")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
