"""Ctrl-C (SIGINT): every command ends in one line, with exit code 130 and no traceback.

The first one raises KeyboardInterrupt in a command that is at work, which cleans up after itself. Before that, while
modules are imported, there is nothing to clean up, and from the second one on nobody wants to wait: the process ends
at once. What that leaves half-written is what a KILL leaves, and the next start removes it.

Imports of this file's own take milliseconds, so that programs can call `listen` before their slow ones.
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

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells say it
ECHO_SECONDS = 0.5  # `timeout -s INT`, and launchers, pass on what the process group has got already
TOO_EARLY = "before it began: nothing was written"
AGAIN = "twice, and left at once: the same command clears up what this one has left half-written"


@dataclass
class _Heard:
    """What this process has heard of Ctrl-C; a forked child is no owner, and its parent's to end."""

    owner: int = 0
    at_work: bool = False
    done: bool = False
    interrupted: bool = False
    said: bool = False
    at_once: str | None = None
    """What is said where the first one ends the process too."""
    last_words: str = AGAIN


_heard = _Heard()


def listen() -> None:
    """From now on Ctrl-C ends this process in a line. Call it once, in the main thread, before the slow imports.

    Does nothing where SIGINT is ignored, as in a job that a script has put into the background. A thread waits for the
    second one: the main thread may be inside code that does not come back to Python (a collective whose other ranks
    hang), where no handler runs.
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
    """From now on the first Ctrl-C raises KeyboardInterrupt, where `listen` has been called."""
    _heard.at_work, _heard.done, _heard.said = True, False, False


def end() -> None:
    """From now on the first Ctrl-C does nothing: the command is done, and the process as good as ended."""
    _heard.at_work, _heard.done = False, True


@contextmanager
def at_once(words: str) -> Iterator[None]:
    """Within: the first Ctrl-C ends the process too, which says by it `words`; for long calls that hold no Python."""
    _heard.at_once = f"by Ctrl-C; {words}"
    try:
        yield
    finally:
        _heard.at_once = None


def heard() -> bool:
    """Whether this process listens and has been interrupted: other errors are what became of that."""
    return _heard.interrupted and _heard.owner == os.getpid()


def say_at_the_second(words: str) -> None:
    """What the process says behind "interrupted " when the second Ctrl-C ends it; nothing at all for no words."""
    _heard.last_words = words


def say(words: str) -> None:
    """Write "interrupted " and `words` to stderr, once, past Python's buffers: a handler may have interrupted a print.
    """
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
    """End this process at once, without clean-up."""
    if words:
        say(words)
    os._exit(EXIT_INTERRUPTED)


def _in_child() -> None:
    """A forked child must not tell its parent's thread of the Ctrl-C that the whole process group has got."""
    if _heard.owner:
        with suppress(ValueError):  # forked from another thread than the main one
            signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_in_child)
