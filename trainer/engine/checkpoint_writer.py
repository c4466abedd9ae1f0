"""Asynchronous checkpoint writer, one per rank: a checkpoint engine in DeepSpeed's terms.

`save` only copies the tensors to host memory; a thread then writes, hashes and flushes the files and calls `finish`.
An error of that thread is kept, and raised in the training thread by `check` or `wait`.
"""

from __future__ import annotations

import copy
import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Files = dict[str, dict[str, Any]]
"""File name -> {"size": bytes, "sha256": hex digits}."""


class Writer:
    """Writer of one rank; at most one checkpoint is being written at a time."""

    def __init__(self, safe_types: list[type], *, background: bool) -> None:
        """safe_types: classes besides tensors and plain values that `load` accepts; others are never unpickled."""
        self._safe_types = safe_types
        self._background = background
        self._collected: dict[Path, Any] = {}
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, finish: Callable[[Files], None]) -> None:
        """Write the objects that `save` collected, then call `finish` with the sizes and hashes of the files."""
        collected, self._collected = self._collected, {}

        def write() -> None:
            try:
                finish({path.name: write_file(path, content) for path, content in collected.items()})
            except BaseException as error:  # handed to the training thread, whatever it is
                self._error = error

        if self._background:
            self._thread = threading.Thread(target=write, name="checkpoint writer", daemon=True)
            self._thread.start()
        else:
            write()
            self.check()

    def check(self) -> None:
        """Raise the error of the thread, if there is one."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def wait(self) -> None:
        """Return once nothing is being written; raises as `check` does."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    # From here on: the methods that DeepSpeed calls.

    def create(self, info: Any) -> None:
        """A checkpoint begins."""

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder."""
        os.makedirs(path, exist_ok=exist_ok)

    def save(self, state_dict: Any, path: str) -> None:
        """Copy `state_dict` to host memory, to be written to `path`."""
        self._collected[Path(path)] = snapshot(state_dict, {})

    def load(self, path: str, map_location: Any = None) -> Any:
        """Load the object that `save` wrote to `path`."""
        with torch.serialization.safe_globals(list(self._safe_types)):
            return torch.load(path, map_location=map_location, weights_only=True)

    def commit(self, info: Any) -> bool:
        """All objects of a checkpoint are collected; `start` writes them."""
        return True

    def is_data_parallel_writer(self, rank: int) -> bool:
        """Rank 0 writes objects that are the same on all ranks."""
        return rank == 0

    def is_decoupled(self) -> bool:
        """False: the store waits for this writer, DeepSpeed does not."""
        return False

    def preserves_storage_sharing(self) -> bool:
        """False: `snapshot` copies views without their storage, so DeepSpeed need not copy them first."""
        return False

    def set_commit_info(self, info: Any) -> None:
        """Not used."""

    def get_commit_info(self) -> None:
        """Not used."""

    def cleanup(self) -> None:
        """Called when the engine is closed."""


def snapshot(value: Any, seen: dict[tuple[Any, ...], Tensor]) -> Any:
    """Copy `value` with all tensors to host memory; shared tensors (tied weights) stay shared."""
    if isinstance(value, Tensor):
        place = value.data_ptr() if value.numel() else id(value)
        key = (value.device, place, value.dtype, value.shape, value.stride())
        if key not in seen:
            seen[key] = value.detach().to("cpu", copy=True)
        return seen[key]
    if isinstance(value, Mapping):
        return type(value)((key, snapshot(part, seen)) for key, part in value.items())  # type: ignore[call-arg]
    if type(value) in (list, tuple):
        return type(value)(snapshot(part, seen) for part in value)
    if isinstance(value, Enum):
        return value.value  # some Pythons pickle its members through `getattr`, which nobody may be allowed to call
    return copy.deepcopy(value)


def write_file(path: Path, content: Any) -> dict[str, Any]:
    """Write `content` to `path` with torch.save and flush it to the disk; returns its size and hash.

    Raises OSError that names the file.
    """
    disk = _Disk()
    try:
        with path.open("wb") as disk.file:
            torch.save(content, disk)  # type: ignore[arg-type]
            disk.file.flush()
            os.fsync(disk.file.fileno())
    except (OSError, RuntimeError) as error:
        failure = disk.failure or error  # torch.save raises an error of its own on top of it
        if isinstance(failure, OSError):
            failure.filename = str(path)
        raise failure from None
    return {"size": disk.size, "sha256": disk.digest.hexdigest()}


class _Disk:
    """File for torch.save that hashes the bytes written, and keeps the error that stopped it."""

    def __init__(self) -> None:
        self.file: Any = None
        self.digest, self.size = hashlib.sha256(), 0
        self.failure: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            self.to_file(content)
        except OSError as error:
            self.failure = error
            raise
        self.digest.update(content)
        self.size += len(content)
        return len(content)

    def to_file(self, content: Any) -> None:
        self.file.write(content)

    def flush(self) -> None:
        self.file.flush()
