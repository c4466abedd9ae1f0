"""The log of a run: lines of the logger "trainer" go to the terminal and, on the main rank, to `<run>/train.log`.

The terminal shows plain lines on stdout, warnings and errors with their level on stderr. train.log has the same lines
with a time stamp, those from before the folder existed included.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import MemoryHandler
from pathlib import Path

FILE = "train.log"
FILE_ONLY = {"file_only": True}  # `extra` of lines that the terminal shows as a bar
_logger = logging.getLogger("trainer")


class _Terminal(logging.Handler):
    """Looks the streams up at every line: tests and progress bars replace them."""

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, "file_only", False):
            print(self.format(record), file=sys.stdout if record.levelno < logging.WARNING else sys.stderr, flush=True)

    def format(self, record: logging.LogRecord) -> str:
        return _with_level(record)


class _FileFormat(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S%z')} {_with_level(record)}"


_TERMINAL = _Terminal()


def log_to_terminal() -> None:
    """Show the lines of "trainer" in the terminal, from now on; a second call changes nothing."""
    _logger.setLevel(logging.INFO)
    _logger.addHandler(_TERMINAL)


class RunLog:
    """Handler of train.log; keeps lines in memory until `open`."""

    def __init__(self) -> None:
        self._early = MemoryHandler(1000, flushLevel=logging.CRITICAL + 1)
        self._file: logging.FileHandler | None = None
        _logger.addHandler(self._early)

    def open(self, folder: Path) -> None:
        """Write the lines so far, and from now on every line, to `folder`/train.log."""
        self._file = logging.FileHandler(folder / FILE, encoding="utf-8")
        self._file.setFormatter(_FileFormat())
        self._early.setTarget(self._file)
        self._early.flush()
        self._early.flushLevel = logging.NOTSET  # line by line

    def close(self, error: BaseException | None = None) -> None:
        """Stop logging to train.log; `error`, which ended the run, is its last line."""
        if error is not None and self._file is not None:
            said = str(error) or type(error).__name__
            self._file.emit(logging.LogRecord("trainer", logging.ERROR, "", 0, said, None, None))
        _logger.removeHandler(self._early)
        self._early.close()
        if self._file is not None:
            self._file.close()


@contextmanager
def run_log(is_main: bool) -> Iterator[RunLog]:
    """Context of a run's log; ranks but the main one log nothing."""
    log_to_terminal()
    log = RunLog()
    _logger.disabled = False
    level = _logger.level
    if not is_main:
        _logger.setLevel(logging.CRITICAL + 1)
    try:
        yield log
    except BaseException as error:
        log.close(error)
        raise
    else:
        log.close()
    finally:
        _logger.setLevel(level)


def _with_level(record: logging.LogRecord) -> str:
    level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
    return level + record.getMessage()
