"""Encode batches in order, here or in forked worker processes, with a bounded number of them under way.

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
from dataclasses import dataclass, replace

from tokenizers import Tokenizer

from data_prep.base.errors import InputError
from data_prep.kinds import ENCODERS
from data_prep.kinds.segments import Encoded
from data_prep.shards.template import InputTemplate
from data_prep.sources.reading import TextBatch

BATCHES_PER_WORKER = 3  # under way at once: enough to keep a worker busy while the parent writes
MOST_WORKERS_UNASKED = 8
SECONDS_TO_OUTLIVE = 0.2  # how long a child may go on after its parent was killed
PR_SET_PDEATHSIG = 1  # linux/prctl.h
POOL_FROM_ROWS = 20_000  # below this, starting processes costs more than it saves

Augmenter = Callable[[TextBatch], tuple[TextBatch, dict[str, int]]]


@dataclass(frozen=True)
class Work:
    """What is done with a batch: an optional augmentation, then the encoder of the task's kind."""

    kind: str
    tokenizer: Tokenizer
    max_length: int
    template: InputTemplate
    augment: Augmenter | None = None

    def __call__(self, batch: TextBatch) -> Encoded:
        counts: dict[str, int] = {}
        if self.augment is not None:
            batch, counts = self.augment(batch)
        encoded = ENCODERS[self.kind](batch, self.tokenizer, self.max_length, self.template)
        encoded.counts.update(counts)
        return replace(encoded, keys=batch.keys)


Mapper = Callable[[Iterable[TextBatch]], Iterator[Encoded]]
_work: Work | None = None  # set before the fork, so that the tokenizer is shared and never pickled


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def mapper(work: Work, workers: int, rows: int | None) -> Iterator[Mapper]:
    """A function that encodes batches in order; `workers` 0 means one per core, `rows` None an unknown number."""
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


def _in_order(pool: ProcessPoolExecutor, batches: Iterable[TextBatch], most_under_way: int) -> Iterator[Encoded]:
    under_way: deque[Future[Encoded]] = deque()
    try:
        for batch in batches:
            under_way.append(pool.submit(_do, batch))
            if len(under_way) >= most_under_way:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    except BrokenProcessPool:
        raise InputError("a worker process was killed (out of memory?); start again with fewer --workers") from None


def _start_worker(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and ends the pool
    end_with(parent)  # left alone, it would wait for ever for work


def end_with(parent: int) -> None:
    """From now on, kill this process when `parent`, the process that started it, is no more, however that ended."""
    with suppress(OSError, AttributeError):  # Linux does it at once, whatever code is running
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:  # elsewhere, and where it had died already; waits for code that does not let go of Python
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
