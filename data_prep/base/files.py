"""Files: atomic writes, hashes, folders renamed into place, and the line for pydantic's first validation error.

Writers work under a temporary name (see `lock.working_path`) and rename last, so readers never see a partial file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydantic

from data_prep.base.errors import InputError
from data_prep.base.lock import working_path

TEMPORARY = re.compile(r"\.tmp-(?P<process>[1-9][0-9]{0,8})@(?P<host>.+?)(?:\.old)?$")
"""End of a temporary name: the process that writes there, and its host."""


@contextmanager
def working_file(path: Path, what: str, *, wait: bool = False) -> Iterator[Path]:
    """Yield a name beside `path` to write its new version under; rename it to `path` if the block succeeds.

    `path` is locked meanwhile; raises InputError if another process holds it and `wait` is false.
    """
    with working_path(path, what, wait=wait) as temporary:
        yield temporary
        _flush_and_rename(temporary, path)


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) atomically and flushed to disk; for files with a single writer."""
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}@{socket.gethostname()}")
    temporary.write_text(text, encoding="utf-8")
    _flush_and_rename(temporary, path)


def remove_unfinished(folder: Path) -> None:
    """Remove, at any depth of `folder`, what processes of this host that are dead have left under temporary names."""
    for left in list(folder.rglob(".*.tmp-*@*")):
        owner = TEMPORARY.search(left.name)
        if owner is None or owner["host"] != socket.gethostname() or _is_alive(int(owner["process"])):
            continue
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        pass
    return True


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, as `write_text` does."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object at `path`; empty if the file is missing, damaged or not an object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def first_error(error: pydantic.ValidationError, *, quote: bool = False) -> str:
    """pydantic's first validation error on one line: `field.name: message`, and with `quote` the value it found."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    found = f", found {str(first['input'])[:80]!r}" if quote else ""
    return f"{field + ': ' if field else ''}{' '.join(first['msg'].split())}{found}"


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's content, read in blocks."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def working_folder(path: Path, what: str) -> Iterator[Path]:
    """Yield a new empty folder beside `path`, under a name that no reader takes for a finished one; then remove it.

    `path` is locked meanwhile; raises InputError if another process holds it (see `lock.working_path`). The caller
    renames the finished folder, for example with `put_in_place`.
    """
    with working_path(path, what) as folder:
        folder.mkdir()
        yield folder


def put_in_place(folder: Path, path: Path, overwrite: bool = False) -> None:
    """Rename a finished `folder` to `path`. Raises InputError if another process has created `path` first."""
    if overwrite and path.exists():
        old = folder.with_name(f"{folder.name}.old")  # matches the pattern that `working_path` clears
        os.replace(path, old)
        shutil.rmtree(old, ignore_errors=True)
    try:
        os.replace(folder, path)
    except OSError as error:
        raise InputError(f"{path} was written by another process meanwhile ({error.strerror}); start again") from error


def _flush_and_rename(temporary: Path, path: Path) -> None:
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
