"""One command that shows on a machine with a GPU, or without, what no other test there could: speeds and CUDA.

    python -m tests.device.check OUT [--only kernels,exactness] [--seconds 480] [--limits 1]

Every step is a process with a time limit of its own; a failure or a timeout does not stop the next. Speeds are measured
first, one after the other; the tests then run side by side. OUT gets a log per step, results.json and table.md.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "-rfE", "--tb=short", "-m", "not full"]


@dataclass(frozen=True)
class Step:
    """A process: the words behind `python`, its limit in seconds, and whether it needs the machine alone."""

    name: str
    words: tuple[str, ...]
    limit: int
    alone: bool = False


def steps(size: str) -> list[Step]:
    """All steps; `size` is the model's in the speed measurements."""
    bench = ("-m", "trainer", "bench")
    shape: tuple[str, ...] = ("--size", size, "--vocabulary", "250002", "--precision", "bf16", "--rounds", "3")
    if size == "tiny":  # a rehearsal
        shape = ("--size", size, "--precision", "bf16", "--rounds", "1")
    return [
        Step("environment", ("-m", "tests.device.environment"), 60, True),
        Step("peers", (*bench, "peers", *shape, "--steps", "3", "--batch_size", "128", "--seconds", "60"), 120,
             True),
        Step("methods", (*bench, "steps", *shape, "--steps", "4", "--only", "K=1"), 80, True),
        Step("where-time-goes", ("-m", "tests.device.where_time_goes", "tiny" if size == "tiny" else "base"), 50, True),
        Step("kernels-speed", (*bench, "kernels", "--rounds", "10", "--compiled", "False"), 60, True),
        Step("exactness", ("-m", "tests.device.exactness"), 240),
        Step("kernels", (*PYTEST, "-n", "6", "--dist", "load", "tests/trainer/kernels"), 240),
        Step("resume", (*PYTEST, "tests/trainer/checkpoint/test_resume.py"), 240),
        Step("commands", (*PYTEST, "tests/trainer/checkpoint/test_average.py",
                          "tests/trainer/checkpoint/test_export.py", "tests/trainer/evaluate"), 240),
        Step("kills", (*PYTEST, "tests/chaos/test_kills.py"), 240),
    ]


def main() -> int:
    """Run the steps; the number of those that failed is the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", help="names of steps, by comma")
    parser.add_argument("--size", default="large", help="of the model in speed measurements; tiny for a rehearsal")
    parser.add_argument("--seconds", type=int, default=480, help="no step starts or goes on after this time")
    parser.add_argument("--limits", type=float, default=1.0,
                        help="factor on every step's limit, which is meant for 16 cores and a GPU")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    ends = time.monotonic() + given.seconds
    chosen = [replace(step, limit=round(given.limits * step.limit)) for step in steps(given.size)
              if not given.only or step.name in given.only.split(",")]
    results = [run(step, given.out, ends) for step in chosen if step.alone]
    with ThreadPoolExecutor(max_workers=8) as pool:
        results += pool.map(lambda step: run(step, given.out, ends), [step for step in chosen if not step.alone])
    text = json.dumps([asdict(result) for result in results], indent=1)
    (given.out / "results.json").write_text(text, encoding="utf-8")
    lines = ["| step | outcome | seconds | last line |", "|---|---|---|---|"]
    lines += [f"| {r.name} | {r.outcome} | {r.seconds:.0f} | {r.last} |" for r in results]
    (given.out / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return sum(result.outcome != "passed" for result in results)


@dataclass(frozen=True)
class Result:
    """What became of a step."""

    name: str
    outcome: str
    seconds: float
    last: str


def run(step: Step, out: Path, ends: float) -> Result:
    """Run one step in a process group of its own; its output goes to a log, and of a step alone also to the screen."""
    began, limit = time.monotonic(), min(step.limit, ends - time.monotonic())
    if limit <= 0:
        return Result(step.name, "no time left", 0.0, "")
    log = out / f"{step.name}.log"
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen([sys.executable, *step.words], cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT,
                                   start_new_session=True, env=os.environ | {"COLUMNS": "150", "PYTHONUNBUFFERED": "1"})
        try:
            outcome = "passed" if process.wait(limit) == 0 else "failed"
        except subprocess.TimeoutExpired:
            outcome = f"stopped at {limit:.0f} s"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    seconds, text = time.monotonic() - began, log.read_text(encoding="utf-8", errors="replace")
    print(f"== {step.name}: {outcome}, {seconds:.0f} s\n{text[-6000:] if step.alone else text[-3500:]}", flush=True)
    return Result(step.name, outcome, seconds, (text.strip().splitlines() or [""])[-1][:120].replace("|", "/"))


if __name__ == "__main__":
    sys.exit(main())
