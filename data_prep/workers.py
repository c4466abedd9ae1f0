"""Encode batches in order, in this process or in forked workers, with a bounded number in flight.

Input: an iterator of `TextBatch`es. Output: an iterator of `Encoded` in the same order. Each worker runs the
tokenizer on one thread, so `workers` processes use `workers` cores.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tokenizers import Tokenizer

from data_prep.base.errors import InputError
from data_prep.kinds import named_kind
from data_prep.kinds.kind import Encoded
from data_prep.kinds.rows import TextBatch
from data_prep.shards.template import InputTemplate

BATCHES_PER_WORKER = 3  # in flight: enough to keep a worker busy while the parent writes
MOST_WORKERS_UNASKED = 8
SECONDS_TO_OUTLIVE = 0.2  # how long a child may outlive a killed parent
PR_SET_PDEATHSIG = 1  # linux/prctl.h
POOL_FROM_ROWS = 20_000  # below this, starting processes costs more than it saves

Augmenter = Callable[[TextBatch], tuple[TextBatch, dict[str, int]]]


@dataclass(frozen=True)
class Work:
    """Work on one batch: an optional augmentation, then the encoder of the task's kind."""

    kind: str
    tokenizer: Tokenizer
    max_length: int
    template: InputTemplate
    augment: Augmenter | None = None

    def __call__(self, batch: TextBatch) -> Encoded:
        counts: dict[str, int] = {}
        if self.augment is not None:
            batch, counts = self.augment(batch)
        encoded = named_kind(self.kind).encode(batch, self.tokenizer, self.max_length, self.template)
        encoded.counts.update(counts)
        return encoded


Mapper = Callable[[Iterable[TextBatch]], Iterator[Encoded]]
_work: Work | None = None  # set before the fork, so that the tokenizer is shared and never pickled


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def mapper(work: Work, workers: int, rows: int | None) -> Iterator[Mapper]:
    """Yield a function that encodes batches in order. `workers` 0 means one per core, `rows` None an unknown number."""
    global _work
    n = workers or min(available_cores(), MOST_WORKERS_UNASKED)
    with _one_thread_per_process():
        if n == 1 or (rows is not None and rows < POOL_FROM_ROWS):
            yield lambda batches: map(work, batches)
            return
        _work = work
        context = multiprocessing.get_context("fork")
        pool = ProcessPoolExecutor(n, mp_context=context, initializer=_start_worker, initargs=(os.getpid(),))
        try:
            yield lambda batches: _in_order(pool, batches, n * BATCHES_PER_WORKER)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            _work = None


def _in_order(pool: ProcessPoolExecutor, batches: Iterable[TextBatch], most_in_flight: int) -> Iterator[Encoded]:
    in_flight: deque[Future[Encoded]] = deque()
    try:
        for batch in batches:
            in_flight.append(pool.submit(_do, batch))
            if len(in_flight) >= most_in_flight:
                yield in_flight.popleft().result()
        while in_flight:
            yield in_flight.popleft().result()
    except BrokenProcessPool:
        raise InputError("a worker process was killed (out of memory?); start again with fewer --workers") from None


def _start_worker(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and shuts down the pool
    end_with(parent)  # an orphaned worker would wait for work for ever


def end_with(parent: int) -> None:
    """Kill this process when `parent`, the process that started it, ends for any reason."""
    with suppress(OSError, AttributeError):  # on Linux the kernel does it at once
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:  # other systems, and a parent that had already ended; needs the interpreter lock to be free
        while os.getppid() == parent:
            time.sleep(SECONDS_TO_OUTLIVE)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()


def _do(batch: TextBatch) -> Encoded:
    if _work is None:
        raise RuntimeError("the worker was started without its work")
    return _work(batch)


@contextmanager
def _one_thread_per_process() -> Iterator[None]:
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
