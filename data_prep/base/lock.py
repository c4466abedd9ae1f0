"""Locks on outputs: two processes never write one output at once, and what a killed one left half-written goes away.

Input: the output's path, and what is being done, for the message. Output: while the lock is held, a small file: `.lock`
in the folder, or `.<name>.lock` beside an output that is renamed into place as a whole. It holds the owner's process
id, host and time of start. The lock itself is the kernel's (flock), which lets go of it when the owner ends, however
it ends; a lock file that a killed owner left behind locks nothing.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from data_prep.base.errors import InputError

LOCK_FILE = ".lock"
NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
ATTEMPTS = 100  # at a lock file that its last owner removes at this very moment
LONGEST_OWNER = 200  # characters of a lock file that are shown


@dataclass
class _Lock:
    """A lock of this process: its open file, whether the file system really locks, and how often it was entered."""

    descriptor: int
    sure: bool
    made: list[Path]
    """Folders that were made for the lock file, the deepest first."""
    depth: int = 0


_held: dict[Path, _Lock] = {}
_warned = False


def held(folder: Path, what: str, *, wait: bool = False) -> AbstractContextManager[bool]:
    """Within: this process alone works on `folder`, which is made where it is missing.

    Raises InputError where another process holds it, naming that process, unless `wait` is given. Entering it again
    in the same process does nothing: threads do not keep each other out. The value is False where the file system has
    no locks (one warning is printed). A folder that was made for the lock and is still empty at the end is removed.
    """
    return _entered(folder / LOCK_FILE, folder, what, wait)


def held_beside(path: Path, what: str, *, wait: bool = False) -> AbstractContextManager[bool]:
    """As `held`, for a file or folder that is renamed into place as a whole: the lock file lies beside it."""
    whole = Path(os.path.abspath(path))  # so that "." has a name
    return _entered(whole.parent / f".{whole.name}.lock", path, what, wait)


@contextmanager
def working_path(path: Path, what: str, *, wait: bool = False) -> Iterator[Path]:
    """Within: `path` is held (see `held_beside`), and the value is a free name beside it to write a new version under.

    What killed processes left under such names is removed first, and what is left under this one at the end. Readers
    know the names by their leading dot.
    """
    whole = Path(os.path.abspath(path))
    prefix = f".{whole.name}.tmp-"
    own = whole.with_name(f"{prefix}{os.getpid()}@{socket.gethostname()}")
    with held_beside(path, what, wait=wait) as sure:
        for left in whole.parent.glob(glob.escape(prefix) + "*"):
            if sure or left == own:  # without locks it may be somebody's who is at work
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
        yield lock.sure
    finally:
        lock.depth -= 1
        if lock.depth == 0 and _held.pop(file, None) is lock:  # not so in a forked child: it never owned it
            _release(lock, file)


def _acquire(file: Path, output: Path, what: str, wait: bool) -> _Lock:
    """The locked lock file with its owner in it; raises InputError."""
    made: list[Path] = []
    for _ in range(ATTEMPTS):
        try:
            made = made or [folder for folder in (file.parent, *file.parent.parents) if not folder.exists()]
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            continue  # the last owner has just removed the folder
        except OSError as error:
            raise InputError(f"{output} cannot be written: {error.filename}: {error.strerror}; make it writable, or "
                             "choose another place") from None
        try:
            sure = _lock(descriptor, output, wait)
            if _lies_at(descriptor, file):
                owner = f"{what}, process {os.getpid()} on {socket.gethostname()}, since {_now()}\n"
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, owner.encode(), 0)
                return _Lock(descriptor, sure, made)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the last owner removed this file between our opening and our locking it
    raise InputError(f"{output}: no lock file can be made at {file}; choose another place")


def _lock(descriptor: int, output: Path, wait: bool) -> bool:
    """Lock the open file; False, after one warning, where its file system cannot."""
    global _warned
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        owner = os.pread(descriptor, LONGEST_OWNER, 0).decode(errors="replace").split("\n")[0]
        raise InputError(f"{output} is in use by another process ({owner or 'which is just starting'}); wait until it "
                         "has ended, or choose another output") from None
    except OSError as error:
        if error.errno not in NO_LOCKS_HERE:
            raise
        if not _warned:
            print(f"warning: the file system of {output} has no locks ({error.strerror}): take care that no two "
                  "processes write there at once", file=sys.stderr, flush=True)
        _warned = True
        return False
    return True


def _release(lock: _Lock, file: Path) -> None:
    """Remove the lock file while it is still locked, then let go: who opened it meanwhile sees that it is gone."""
    with suppress(OSError):
        if _lies_at(lock.descriptor, file):
            file.unlink()
    os.close(lock.descriptor)
    with suppress(OSError):  # the first that is not empty ends it
        for folder in lock.made:
            folder.rmdir()


def _lies_at(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z")


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _forget() -> None:
    """In a forked child: close the parent's lock files, which would stay locked for as long as the child lives."""
    for lock in _held.values():
        os.close(lock.descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget)
