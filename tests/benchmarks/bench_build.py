"""Measure `data_prep build`: rows per second against a bare `encode_batch`, and how peak memory grows with rows.

Inputs: a file with a header and the columns premise, hypo, label (`multinli.train.en.tsv`), and a tokenizer folder.
Output: lines of figures on stdout. Nothing is kept; the work is done in a temporary folder.

    python tests/benchmarks/bench_build.py speed FILE TOKENIZER --rows 150000 --workers 2
    python tests/benchmarks/bench_build.py memory FILE TOKENIZER --small 15000 --large 1500000 --workers 2
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import psutil
from transformers import AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
BATCH_ROWS = 1024
MEGABYTE = 1024 * 1024
SAMPLE_SECONDS = 0.05
_tokenizer = None  # in the workers of the bare measurement, set before the fork
_batches: list[list[list[str]]] = []


def repeat_file(source: Path, folder: Path, rows: int) -> Path:
    """A file of `rows` rows, those of `source` over and over, named so that `mnli` finds it."""
    header, *lines = source.read_bytes().rstrip(b"\n").split(b"\n")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "multinli.train.en.tsv"
    with open(target, "wb") as stream:
        stream.write(header + b"\n")
        for line in islice(cycle(lines), rows):
            stream.write(line + b"\n")
    return target


def bare_rows_per_second(file: Path, tokenizer: Path, workers: int) -> float:
    """Rows per second of `encode_batch` alone: texts in memory, results dropped, `workers` processes of one thread."""
    global _tokenizer, _batches
    rows = [line.split("\t")[:2] for line in file.read_text(encoding="utf-8").rstrip("\n").split("\n")[1:]]
    _batches = [rows[i : i + BATCH_ROWS] for i in range(0, len(rows), BATCH_ROWS)]
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _tokenizer = AutoTokenizer.from_pretrained(tokenizer).backend_tokenizer
    start = time.perf_counter()
    if workers == 1:
        done = sum(map(_encode, range(len(_batches))))
    else:
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            done = sum(pool.imap_unordered(_encode, range(len(_batches))))
    return done / (time.perf_counter() - start)


def _encode(index: int) -> int:
    firsts, seconds = zip(*_batches[index], strict=True)
    _tokenizer.encode_batch(list(firsts), add_special_tokens=False)
    _tokenizer.encode_batch(list(seconds), add_special_tokens=False)
    return len(firsts)


def build(file: Path, tokenizer: Path, out: Path, workers: int) -> tuple[float, float]:
    """(seconds, peak memory in MB over all processes) of the real command in a process of its own."""
    command = [sys.executable, "-m", "data_prep", "build", "mnli", "--source", str(file.parent), "--tokenizer",
               str(tokenizer), "--out", str(out), "--workers", str(workers)]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    peak = [0.0]
    watcher = threading.Thread(target=_watch, args=(process, peak))
    watcher.start()
    if process.wait():
        raise SystemExit(f"the build ended with {process.returncode}")
    watcher.join()
    return time.perf_counter() - start, peak[0]


def _watch(process: subprocess.Popen[bytes], peak: list[float]) -> None:
    """Sum of the unique memory (USS) of the process and its children: pages shared after a fork count once."""
    while process.poll() is None:
        total = 0
        for one in _family(process.pid):
            try:
                total += one.memory_full_info().uss
            except psutil.Error:
                continue
        peak[0] = max(peak[0], total / MEGABYTE)
        time.sleep(SAMPLE_SECONDS)


def _family(pid: int) -> Iterator[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        yield parent
        yield from parent.children(recursive=True)
    except psutil.Error:
        return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "memory"))
    parser.add_argument("file", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--rows", type=int, default=150_000)
    parser.add_argument("--small", type=int, default=15_000)
    parser.add_argument("--large", type=int, default=1_500_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.what == "speed":
            file = repeat_file(asked.file, folder / "in", asked.rows)
            empty = repeat_file(asked.file, folder / "start", 1)
            measured = []
            for turn in range(asked.repeats):  # in turns, so that other work on the machine meets all of them
                measured.append((
                    build(empty, asked.tokenizer, folder / f"start-{turn}", asked.workers)[0],
                    build(file, asked.tokenizer, folder / f"out-{turn}", asked.workers)[0],
                    asked.rows / bare_rows_per_second(file, asked.tokenizer, asked.workers)))
                print(f"turn {turn}: start {measured[-1][0]:.1f} s, build {measured[-1][1]:.1f} s, bare "
                      f"{measured[-1][2]:.1f} s, load {os.getloadavg()[0]:.1f}", flush=True)
            starting, seconds, bare = (min(column) for column in zip(*measured, strict=True))
            print(f"workers {asked.workers}, best of {asked.repeats}: encode_batch {asked.rows / bare:,.0f} rows/s; "
                  f"build {asked.rows / seconds:,.0f} rows/s whole ({bare / seconds:.0%}), "
                  f"{asked.rows / (seconds - starting):,.0f} rows/s without the {starting:.1f} s of starting "
                  f"({bare / (seconds - starting):.0%})")
        else:
            peaks = []
            for rows in (asked.small, asked.large):
                file = repeat_file(asked.file, folder / f"in-{rows}", rows)
                seconds, peak = build(file, asked.tokenizer, folder / f"out-{rows}", asked.workers)
                peaks.append(peak)
                print(f"{rows:,} rows: {seconds:.1f} s, peak {peak:,.0f} MB", flush=True)
            print(f"growth {peaks[1] - peaks[0]:,.0f} MB")


if __name__ == "__main__":
    main()
