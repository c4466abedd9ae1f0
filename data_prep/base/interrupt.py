"""Ctrl-C (SIGINT): every command ends with one line and exit code 130, without a traceback.

The first one raises KeyboardInterrupt in a running command, which then cleans up. During imports there is nothing to
clean up, and a second one means that the user will not wait: in both cases the process ends at once. Partial output is
then as after SIGKILL, and the next start removes it.

This file imports nothing slow, so that programs can call `listen` before their slow imports.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

EXIT_INTERRUPTED = 130  # 128 + SIGINT, the shells' convention
ECHO_SECONDS = 0.5  # `timeout -s INT` and launchers repeat a signal that the process group has already received
TOO_EARLY = "before it began: nothing was written"
AGAIN = "twice, and left at once: the same command clears up what this one has left half-written"


@dataclass
class _Heard:
    """State of Ctrl-C handling in this process; a forked child is not the owner: its parent ends it."""

    owner: int = 0
    at_work: bool = False
    done: bool = False
    interrupted: bool = False
    said: bool = False
    at_once: str | None = None
    """Message if the first Ctrl-C is to end the process; None while it raises KeyboardInterrupt."""
    last_words: str = AGAIN


_heard = _Heard()


def listen() -> None:
    """Install the handler; from now on Ctrl-C ends the process with one line. Call once, before slow imports.

    Call it in the main thread. Does nothing if SIGINT is ignored, as in a background job of a script. A thread waits
    for the second Ctrl-C, because Python handlers do not run while the main thread is blocked outside Python (a
    collective whose other ranks hang).
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return
    signal.signal(signal.SIGINT, _interrupt)
    _heard.owner = os.getpid()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_wait_for_the_second, args=(reading,), name="Ctrl-C", daemon=True).start()


def begin() -> None:
    """Mark a command as running: the first Ctrl-C raises KeyboardInterrupt (if `listen` was called)."""
    _heard.at_work, _heard.done, _heard.said = True, False, False


def end() -> None:
    """Mark the command as done: the first Ctrl-C is ignored, because the process is about to exit."""
    _heard.at_work, _heard.done = False, True


@contextmanager
def at_once(words: str) -> Iterator[None]:
    """Context in which the first Ctrl-C ends the process with the message `words`; for long calls outside Python."""
    _heard.at_once = f"by Ctrl-C; {words}"
    try:
        yield
    finally:
        _heard.at_once = None


def heard() -> bool:
    """True if this process has been interrupted; other errors are then consequences of that."""
    return _heard.interrupted and _heard.owner == os.getpid()


def say_at_the_second(words: str) -> None:
    """Set the message of the second Ctrl-C, printed behind "interrupted "; an empty one prints nothing."""
    _heard.last_words = words


def say(words: str) -> None:
    """Write "interrupted " and `words` to stderr once, unbuffered: the handler may have interrupted a print."""
    if _heard.said:
        return
    _heard.said = True
    with suppress(OSError):
        os.write(2, f"interrupted {words}\n".encode())


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    if _heard.owner != os.getpid() or _heard.done or _heard.at_once is not None:
        return
    if not _heard.at_work:
        _leave(TOO_EARLY)
    if not _heard.interrupted:
        _heard.interrupted = True
        raise KeyboardInterrupt


def _wait_for_the_second(reading: int) -> None:
    first: float | None = None
    while True:
        for number in os.read(reading, 64):
            now = time.monotonic()
            if number == signal.SIGINT and _heard.at_once is not None:
                _leave(_heard.at_once)
            if number == signal.SIGINT and first is None:
                first = now
            elif number == signal.SIGINT and first is not None and now - first > ECHO_SECONDS:
                _leave(_heard.last_words)


def _leave(words: str) -> NoReturn:
    """End the process at once, without clean-up."""
    if words:
        say(words)
    os._exit(EXIT_INTERRUPTED)


def _in_child() -> None:
    """Detach a forked child: it receives the process group's Ctrl-C, and must not report it to its parent's thread."""
    if _heard.owner:
        with suppress(ValueError):  # forked from another thread than the main one
            signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_in_child)
