"""Files: atomic JSON writes, hashes, and folders that are renamed into place.

A writer works under a temporary name (see `lock.working_path`) and renames last, so that no reader sees half of a file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydantic

from data_prep.base.errors import InputError
from data_prep.base.lock import working_path


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON (UTF-8, indented), atomically and flushed to the disk."""
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object at `path`; empty where the file is missing, damaged or holds anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def first_error(error: pydantic.ValidationError) -> str:
    """The first problem that pydantic found, on one line: `field.name: message`."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"{field + ': ' if field else ''}{' '.join(first['msg'].split())}"


def file_sha256(path: Path) -> str:
    """sha256 (hex) of a file, read in blocks."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def working_folder(path: Path, what: str) -> Iterator[Path]:
    """A fresh folder beside `path` with a name that no reader takes for a finished one; removed when the block ends.

    Meanwhile `path` is locked. Raises InputError where another process is at work on it (see `lock.working_path`).
    """
    with working_path(path, what) as folder:
        folder.mkdir()
        yield folder


def put_in_place(folder: Path, path: Path, overwrite: bool = False) -> None:
    """Rename a finished `folder` to `path`. Raises InputError where something finished first in the meantime."""
    if overwrite and path.exists():
        old = folder.with_name(f"{folder.name}.old")  # of the names that the next process to work on `path` clears
        os.replace(path, old)
        shutil.rmtree(old, ignore_errors=True)
    try:
        os.replace(folder, path)
    except OSError as error:
        raise InputError(f"{path} was written by another process meanwhile ({error.strerror}); start again") from error
