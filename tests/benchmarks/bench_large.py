"""Measure XLM-R large at its real size: memory and seconds of PGD updates with two ranks, through `trainer train`.

560 million random weights, a vocabulary of 250,002, AdamW (fused, as in the recipes for this size), PGD K = 1 at the
word embeddings, global batch 4 of 32 tokens. Inputs: none; shards of random ids are made up. Output: lines of figures
on stdout. The run itself (about 11 GB of checkpoint and best weights, which `train` always writes) goes to a temporary
folder below --folder.

    python -m tests.benchmarks.bench_large zero2
    python -m tests.benchmarks.bench_large zero3 --precision bf16

Memory is the proportional set size (Pss) summed over the ranks and their children, from /proc/PID/smaps_rollup, so
that a page that several share counts once. Since it takes long to read, it is read whenever the resident size, which
is sampled five times a second, has grown. GB are 10^9 bytes. Start is all before the first update, saving all after
the last one. The ranks are stopped where less than --spare GB of the machine stay available: others may need them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
import psutil

from data_prep.kinds import KINDS
from data_prep.shards.manifest import Manifest, TokenizerInfo
from data_prep.shards.template import InputTemplate
from data_prep.shards.write import write_cell
from trainer.distributed.ranks import free_port

ROOT = Path(__file__).resolve().parents[2]
VOCABULARY = 250_002
LABELS = ["contradiction", "entailment", "neutral"]
ROWS = 64
RANKS = 2
BOUND_GB = 22.0
GB = 1e9
PAGE = os.sysconf("SC_PAGE_SIZE")
SAMPLE_SECONDS = 0.2


@dataclass
class Peaks:
    """What the watcher saw: peak bytes by phase, and when each phase began."""

    bytes_by_phase: dict[str, int] = field(default_factory=dict)
    began: dict[str, float] = field(default_factory=dict)
    least_available: int = 1 << 62
    stopped: bool = False


def write_shards(root: Path, length: int) -> None:
    """A training cell of random pairs, each `length` tokens long, whose manifest has XLM-R's vocabulary size."""
    generator = np.random.default_rng(0)
    first, second = (length - 4) // 2, length - 4 - (length - 4) // 2
    batch = {
        "id": np.arange(ROWS),
        "first_ids": [generator.integers(4, VOCABULARY - 1, first).astype(np.int32) for _ in range(ROWS)],
        "second_ids": [generator.integers(4, VOCABULARY - 1, second).astype(np.int32) for _ in range(ROWS)],
        "label": generator.integers(0, len(LABELS), ROWS), "length": np.full(ROWS, length, dtype=np.int32),
    }
    tokenizer = TokenizerInfo(name="random", fingerprint="0" * 64, vocab_size=VOCABULARY, cls_id=0, sep_id=2, pad_id=1,
                              mask_id=VOCABULARY - 1, unk_id=3,
                              template=InputTemplate(single="0 A 2", pair="0 A 2 2 B 2"))
    write_cell(root / "xnli/train/en", Manifest(
        task="xnli", kind="pair", columns=dict(KINDS["pair"].columns),
        labels=LABELS, metric="accuracy", language="en", split="train", parallel=False,
        max_length=length, tokenizer=tokenizer, source="random", data_prep_version="bench"), [batch])


def write_recipe(folder: Path, asked: argparse.Namespace) -> Path:
    """The recipe of the run; everything else is the product's default."""
    path = folder / "large.yaml"
    path.write_text(
        f"name: large\noutput: {folder / 'runs'}\nmodel: {{random: large}}\n"
        f"data: {{shards: {folder / 'shards'}, train: [xnli/train/en]}}\n"
        f"batch: {{size: {asked.batch}}}\noptimizer: {{name: adamw, lr: 0.00001, fused: true}}\n"
        f"schedule: {{max_steps: {asked.updates}}}\nlogging: {{every_steps: 1}}\n"
        f"evaluation: {{every_steps: {asked.updates}}}\n"
        f"checkpoint: {{every_steps: {asked.updates}, background: false, keep_when_done: true}}\n"
        f"robust: {{method: {asked.method}, ascent_steps: 1, site: word_embeddings}}\n"
        f"engine: {{config: {asked.config}, precision: {asked.precision}}}\n", encoding="utf-8")
    return path


def start_ranks(recipe: Path) -> list[subprocess.Popen[bytes]]:
    """The real command, once per rank, with the variables that a launcher would set."""
    common = {**os.environ, "WORLD_SIZE": str(RANKS), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()),
              "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // RANKS))}
    return [subprocess.Popen([sys.executable, "-m", "trainer", "train", str(recipe)], cwd=ROOT,
                             env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)})
            for rank in range(RANKS)]


def watch(ranks: list[subprocess.Popen[bytes]], run: Path, updates: int, spare: float, trace: TextIO) -> Peaks:
    """Sample memory until all ranks have ended; stop them where one fails or the machine runs short."""
    peaks = Peaks()
    resident: dict[str, int] = {}
    while any(rank.poll() is None for rank in ranks):
        available = psutil.virtual_memory().available
        peaks.least_available = min(peaks.least_available, available)
        peaks.stopped = available < spare * GB
        if peaks.stopped or any(rank.poll() not in (None, 0) for rank in ranks):
            for rank in ranks:
                rank.kill()
            break
        phase = phase_of(run, updates)
        peaks.began.setdefault(phase, time.monotonic())
        now = sum(map(rss, family(ranks)))
        if now > resident.get(phase, 0):  # Pss takes long to read, and stops the ranks meanwhile
            resident[phase] = now
            used = sum(map(pss, family(ranks)))
            peaks.bytes_by_phase[phase] = max(used, peaks.bytes_by_phase.get(phase, 0))
        print(f"{time.monotonic() - peaks.began['start']:.1f}\t{phase}\t{now / GB:.3f}", file=trace, flush=True)
        time.sleep(SAMPLE_SECONDS)
    peaks.began["end"] = time.monotonic()
    return peaks


def phase_of(run: Path, updates: int) -> str:
    """Where the run is, by what it has written: its record once training starts, then a line for every update."""
    if not (run / "run.json").is_file():
        return "start"
    done = len(metrics_of(run))
    return "saving" if done == updates else f"update {done + 1}"


def metrics_of(run: Path) -> list[dict[str, float]]:
    """The lines of the run's own metrics so far, one for each update."""
    try:
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = [json.loads(line) for line in lines if line.endswith("}")]
    return [line for line in found if "train/loss" in line]


def family(ranks: list[subprocess.Popen[bytes]]) -> Iterator[int]:
    """Process ids of the ranks and of what they started."""
    for rank in ranks:
        try:
            yield rank.pid
            yield from (child.pid for child in psutil.Process(rank.pid).children(recursive=True))
        except psutil.Error:
            continue


def rss(pid: int) -> int:
    """Resident set size of a process in bytes; 0 once it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def pss(pid: int) -> int:
    """Proportional set size of a process in bytes; 0 once it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), 0)


def report(peaks: Peaks, run: Path, asked: argparse.Namespace, codes: list[int | None]) -> None:
    """Print what was measured, also of a run that did not end."""
    print(f"{asked.config}, {asked.precision}, {asked.method}, {RANKS} ranks, "
          f"batch {asked.batch} x {asked.length} tokens")
    ends = [*list(peaks.began.values())[1:]]
    for (phase, start), end in zip(list(peaks.began.items())[:-1], ends, strict=True):
        print(f"  {phase:<9} {end - start:6.1f} s   peak {peaks.bytes_by_phase.get(phase, 0) / GB:6.2f} GB together")
    seconds = [asked.batch / line["speed/examples_per_second"] for line in metrics_of(run)]
    print(f"  seconds per update: {', '.join(f'{value:.1f}' for value in seconds) or 'none ended'}")
    losses = [line["train/loss"] for line in metrics_of(run)]
    print(f"  losses: {', '.join(f'{value:.7f}' for value in losses) or 'none'}  (alike at every ZeRO stage)")
    print(f"  least memory left available on the machine: {peaks.least_available / GB:.2f} GB")
    for folder in ("checkpoints", "best"):
        size = sum(path.stat().st_size for path in (run / folder).rglob("*") if path.is_file())
        print(f"  {folder}/ on disk: {size / GB:.2f} GB")
    peak = max(peaks.bytes_by_phase.values()) / GB
    whole = len(seconds) == asked.updates and not any(codes)
    verdict = "the run did not end well" if not whole else "within" if peak <= BOUND_GB else "above"
    print(f"  peak {peak:.2f} GB against a bound of {BOUND_GB:.0f} GB: {verdict}")
    if peaks.stopped:
        print(f"  stopped: less than {asked.spare} GB were left available on the machine")


def main() -> int:
    """Parse, run, report; 0 where the run ended within the bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="zero2, zero3, or the path of a DeepSpeed configuration")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--method", default="pgd")
    parser.add_argument("--updates", type=int, default=3)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--spare", type=float, default=1.5, help="GB of the machine that must stay available")
    parser.add_argument("--trace", default=os.devnull, help="file for every sample: seconds, phase, resident GB")
    parser.add_argument("--folder", type=Path, default=None, help="where the temporary folder goes (12 GB)")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-large-", dir=asked.folder))
    try:
        write_shards(folder / "shards", asked.length)
        ranks = start_ranks(write_recipe(folder, asked))
        run = folder / "runs" / "large"
        with open(asked.trace, "w", encoding="utf-8") as trace:
            peaks = watch(ranks, run, asked.updates, asked.spare, trace)
        codes = [rank.wait() for rank in ranks]
        report(peaks, run, asked, codes)
        return int(any(codes) or max(peaks.bytes_by_phase.values()) > BOUND_GB * GB)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
