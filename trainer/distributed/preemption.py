"""How a run can end before it is done, with one line and an exit code for each.

    2   bad input, a full or read-only disk: the user can mend it, and the same command goes on
    3   training is stuck (collapsed, or not finite): another try would end alike
    75  asked to leave by a signal, and saved: requeue it, and it goes on
    76  another rank died or hung: requeue it, and it goes on from the last checkpoint
    130 interrupted a second time by Ctrl-C: it goes on from the last checkpoint

USR1, USR2, TERM and Ctrl-C (INT) set a flag and nothing else: what is under way, a step or a save, is finished, and the
ranks agree on the flag between two updates (`trainer/loop.py`). Further signals change nothing, but for a second INT,
which ends the process at once (`data_prep/base/interrupt.py`).
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

EXIT_STOPPED, EXIT_REQUEUE, EXIT_LOST_RANK = 3, 75, 76
ASKING = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)
AGAIN = "twice, and left at once: the same command goes on from the last whole checkpoint"
_GLOO = ("gloo", "Connection closed by peer", "Connection reset by peer")  # it raises nothing but RuntimeError


class Preempted(Exception):
    """The run was asked to leave and has saved; started again, it goes on."""


class LostRank(Exception):
    """Another rank no longer answers."""


class Requests:
    """Within this context `received` names the first signal that asked the run to leave.

    Entered twice, the outer context counts: the command line enters it before the seconds that imports take.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._depth = 0
        self._before: dict[signal.Signals, Any] = {}

    def _take(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number).name

    def __enter__(self) -> Requests:
        self._depth += 1
        if self._depth == 1:
            self.received = None
            if threading.current_thread() is threading.main_thread():  # Python lets no other thread set handlers
                self._before = {number: signal.signal(number, self._take) for number in ASKING if not _is_off(number)}
                interrupt.say_at_the_second(AGAIN if _is_main_rank() else "")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._depth -= 1
        if self._depth == 0:
            for number, handler in self._before.items():
                signal.signal(number, handler)


REQUESTS = Requests()


def _is_off(number: signal.Signals) -> bool:
    """Whether who started this process wants no Ctrl-C in it: a script that put it into the background."""
    return number == signal.SIGINT and signal.getsignal(number) is signal.SIG_IGN


def _is_main_rank() -> bool:
    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def ignore_requests() -> None:
    """From here on the signals do nothing: Python gives handlers up before a process has ended, and TERM would kill."""
    for number in ASKING:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def endings_in_a_line(world_size: int, timeout_seconds: float) -> Iterator[None]:
    """Turns what the disk and the other ranks can do to a run into InputError and LostRank."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename or 'writing'}: {error.strerror or error}; the last whole checkpoint is "
                         "untouched: mend this and give the same command again") from error
    except RuntimeError as error:
        import torch  # not above: the command line needs this file before the seconds that torch takes

        lost = isinstance(error, torch.distributed.DistError) or any(word in str(error) for word in _GLOO)
        if world_size == 1 or not lost:
            raise
        reason = " ".join(str(error).split())
        raise LostRank(f"another rank has died, or has not answered for {timeout_seconds:g} s; its own last words say "
                       f"why ({reason[-160:]})") from error


def leave_at_once(error: LostRank) -> NoReturn:
    """End this process with one line and without clean-up, which would wait for the ranks that are gone."""
    print(f"error: {error}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(EXIT_LOST_RANK)
