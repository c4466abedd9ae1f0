"""Preemption signals, and the exit codes of runs that end before they are done, each with one line.

    2   bad input, a full or read-only disk: fix it and give the same command again to resume
    3   training collapsed or is not finite: another try would end alike
    75  stopped by a signal, after saving: requeue it to resume
    76  another rank died or hung: requeue it to resume from the last checkpoint
    130 interrupted a second time by Ctrl-C: the same command resumes from the last checkpoint

USR1, USR2, TERM and Ctrl-C (INT) only set a flag: the step or save under way is finished, and the ranks agree on the
flag between two steps (`trainer/monitor/step_reduction.py`). Further signals change nothing, except a second INT, which
ends the process at once (`data_prep/base/interrupt.py`).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, NoReturn

from data_prep.base import interrupt
from data_prep.base.errors import InputError
from trainer.distributed.ranks import is_first_process

EXIT_STOPPED, EXIT_REQUEUE, EXIT_LOST_RANK = 3, 75, 76
SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)
AGAIN = "twice, and left at once: the same command goes on from the last whole checkpoint"
_GLOO = ("gloo", "Connection closed by peer", "Connection reset by peer")  # it raises nothing but RuntimeError


class Preempted(Exception):
    """The run was stopped by a signal and has saved its state; started again, it resumes."""


class LostRank(Exception):
    """Another rank no longer answers."""


class StopSignals:
    """Context that catches the preemption signals; `received` names the first one, None before that.

    Reentrant, the outermost context counts: the command line enters it before the seconds that imports take.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._depth = 0
        self._before: dict[signal.Signals, Any] = {}

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self.received is None:
            self.received = signal.Signals(number).name
            if is_first_process():  # with `os.write`: a handler may interrupt the very printing of a line
                os.write(2, f"{self.received}: stops after the step or evaluation under way\n".encode())

    def __enter__(self) -> StopSignals:
        self._depth += 1
        if self._depth == 1:
            self.received = None
            if threading.current_thread() is threading.main_thread():  # Python lets no other thread set handlers
                self._before = {number: signal.signal(number, self._take) for number in SIGNALS if not _is_off(number)}
                interrupt.say_at_the_second(AGAIN if is_first_process() else "")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._depth -= 1
        if self._depth == 0:
            for number, handler in self._before.items():
                signal.signal(number, handler)


STOP_SIGNALS = StopSignals()


def _is_off(number: signal.Signals) -> bool:
    """True if INT was ignored from the start, as a shell does for background jobs of scripts."""
    return number == signal.SIGINT and signal.getsignal(number) is signal.SIG_IGN


def ignore_signals() -> None:
    """Ignore the signals until the process has ended: Python drops handlers before that, and TERM would kill it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def failures_in_a_line(world_size: int, timeout_seconds: float) -> Iterator[None]:
    """Context that raises errors of the disk as InputError, and those of collectives as LostRank."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename or 'writing'}: {error.strerror or error}; the last whole checkpoint is "
                         "untouched: fix this and give the same command again") from error
    except RuntimeError as error:
        import torch  # not above: the command line needs this file before the seconds that torch takes

        lost = isinstance(error, torch.distributed.DistError) or any(word in str(error) for word in _GLOO)
        if world_size == 1 or not lost:
            raise
        reason = " ".join(str(error).split())
        raise LostRank(f"another rank has died, or has not answered for {timeout_seconds:g} s; see its own output "
                       f"({reason[-160:]})") from error


def exit_at_once(error: LostRank) -> NoReturn:
    """End this process with one line and without clean-up, which would wait for the lost ranks."""
    print(f"error: {error}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(EXIT_LOST_RANK)
