"""Locks on outputs: at most one process writes to an output, and leftovers of killed processes are removed.

Input: the output's path, and the name of the work for messages. While a lock is held there is a small file: `.lock` in
the folder, or `.<name>.lock` beside an output that is renamed into place as a whole. It names the owner's process id,
host and time of start. The lock itself is the kernel's (flock, through the package filelock), which releases it when
the owner ends, however it ends; a lock file left by a killed owner locks nothing.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.base.errors import InputError

if TYPE_CHECKING:
    from filelock import FileLock

LOCK_FILE = ".lock"
NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
ATTEMPTS = 100  # at a lock file that has no owner's name yet, or that its last owner is just removing
PAUSE_SECONDS = 0.02
LONGEST_OWNER = 200  # characters of a lock file that are shown
OWNER = re.compile(r"(?P<what>.+), process (?P<process>[0-9]+) on (?P<host>\S+), since .+")


@dataclass
class _Lock:
    """A lock of this process."""

    kernel: FileLock | None
    """None if the file system has no locks."""
    made: list[Path]
    """Folders that were created for the lock file, the deepest first."""
    depth: int = 0
    """Number of contexts that are open on it."""


_held: dict[Path, _Lock] = {}
_warned = False


@dataclass(frozen=True)
class Holder:
    """The process that a lock file names."""

    what: str
    host: str
    elsewhere: bool
    """On another host, where nobody here can see whether it lives."""


def holder(folder: Path) -> Holder | None:
    """The process that `folder` is in use by, as its lock file says; None where it has ended. Locks nothing."""
    try:
        text = (folder / LOCK_FILE).read_bytes()[:LONGEST_OWNER].decode(errors="replace")
    except OSError:
        return None
    if (named := OWNER.match(text)) is None:
        return None
    elsewhere = named["host"] != socket.gethostname()
    if not elsewhere:
        try:
            os.kill(int(named["process"]), 0)
        except (ProcessLookupError, OverflowError):
            return None
        except PermissionError:
            pass  # another user's
    return Holder(named["what"], named["host"], elsewhere)


def held(folder: Path, what: str, *, wait: bool = False) -> AbstractContextManager[bool]:
    """Context in which this process alone works on `folder`, which is created if missing.

    Raises InputError, naming the owner, if another process holds it and `wait` is false. Re-entering it in the same
    process does nothing: threads do not exclude each other. Yields False, after one warning, if the file system has no
    locks. A folder created for the lock is removed again if it is still empty.
    """
    return _entered(folder / LOCK_FILE, folder, what, wait)


def held_beside(path: Path, what: str, *, wait: bool = False) -> AbstractContextManager[bool]:
    """Like `held`, for a file or folder that is renamed into place as a whole; the lock file lies beside it."""
    whole = Path(os.path.abspath(path))  # so that "." has a name
    return _entered(whole.parent / f".{whole.name}.lock", path, what, wait)


@contextmanager
def working_path(path: Path, what: str, *, wait: bool = False) -> Iterator[Path]:
    """Hold `path` (see `held_beside`) and yield a free name beside it for its new version.

    Leftovers of killed processes under such names are removed first, this one's at the end. The leading dot marks the
    names as temporary to readers.
    """
    whole = Path(os.path.abspath(path))
    prefix = f".{whole.name}.tmp-"
    own = whole.with_name(f"{prefix}{os.getpid()}@{socket.gethostname()}")
    with held_beside(path, what, wait=wait) as sure:
        for left in whole.parent.glob(glob.escape(prefix) + "*"):
            if sure or left == own:  # without locks it may belong to a live process
                _remove(left)
        try:
            yield own
        finally:
            _remove(own)


@contextmanager
def _entered(file: Path, output: Path, what: str, wait: bool) -> Iterator[bool]:
    file = file.parent.resolve() / file.name
    lock = _held.get(file)
    if lock is None:
        lock = _held[file] = _acquire(file, output, what, wait)
    lock.depth += 1
    try:
        yield lock.kernel is not None
    finally:
        lock.depth -= 1
        if lock.depth == 0 and _held.pop(file, None) is lock:  # a forked child does not own it
            _release(lock, file)


def _acquire(file: Path, output: Path, what: str, wait: bool) -> _Lock:
    """Lock `file` and write the owner into it; raises InputError."""
    from filelock import FileLock, Timeout  # here: light commands need no lock

    made: list[Path] = []
    owner = f"{what}, process {os.getpid()} on {socket.gethostname()}, since {_now()}\n"
    for _ in range(ATTEMPTS):
        kernel, sure = FileLock(file, -1 if wait else 0, thread_local=False, fallback_to_soft=False), True
        try:
            made = made or [folder for folder in (file.parent, *file.parent.parents) if not folder.exists()]
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                kernel.acquire()
            except OSError as error:
                if error.errno not in NO_LOCKS_HERE:
                    raise
                sure = False
                _warn(output, error)
            try:
                file.write_text(owner, encoding="utf-8")
            except BaseException:
                kernel.release()
                raise
            return _Lock(kernel if sure else None, made)
        except Timeout:
            with suppress(FileNotFoundError):  # the last owner removed it after we had opened it
                if other := file.read_bytes()[:LONGEST_OWNER].decode(errors="replace").split("\n")[0]:
                    raise InputError(f"{output} is in use by another process ({other}); wait until it has ended, or "
                                     "choose another output") from None
            time.sleep(PAUSE_SECONDS)  # the owner is about to write its name
        except FileNotFoundError:
            continue  # the last owner has just removed the folder
        except OSError as error:
            raise InputError(f"{output} cannot be written: {error.filename}: {error.strerror}; make it writable, or "
                             "choose another place") from None
    raise InputError(f"{output}: no lock file can be made at {file}, or its owner is just starting; start again, or "
                     "choose another place")


def _warn(output: Path, error: OSError) -> None:
    """Warn once that a file system has no locks."""
    global _warned
    if not _warned:
        print(f"warning: the file system of {output} has no locks ({error.strerror}): make sure that no two processes "
              "write there at once", file=sys.stderr, flush=True)
    _warned = True


def _release(lock: _Lock, file: Path) -> None:
    """Remove the lock file while it is still locked, then unlock: who has opened it meanwhile sees that it is gone."""
    with suppress(OSError):
        file.unlink()
    if lock.kernel is not None:
        lock.kernel.release()
    with suppress(OSError):  # stops at the first that is not empty
        for folder in lock.made:
            folder.rmdir()


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z")


def _remove(path: Path) -> None:
    """Remove a file or folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# filelock closes a forked child's copies of the descriptors: else the parent's locks would live as long as the child.
os.register_at_fork(after_in_child=_held.clear)
