"""Writes a rank's files of a checkpoint behind the back of training.

`Writer` is what DeepSpeed calls a checkpoint engine: it gives it objects and paths, and asks it to load them again.
`save` only copies the tensors to the host; a thread then writes, hashes and flushes the files and calls `finish`.

An error while writing is kept, and raised in the training thread by `check` or `wait`.
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
    """A rank's writer: at most one checkpoint at a time is on its way to the disk."""

    def __init__(self, safe_types: list[type], *, background: bool) -> None:
        """safe_types: classes that files may hold beside tensors and plain values; no others are ever unpickled."""
        self._safe_types = safe_types
        self._background = background
        self._collected: dict[Path, Any] = {}
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, finish: Callable[[Files], None]) -> None:
        """Write what `save` has collected, then call `finish` with the sizes and hashes of the files."""
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
        """Raise what went wrong in the thread, if anything has."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def wait(self) -> None:
        """Return once nothing is being written; raise what went wrong."""
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
        """Copy `state_dict` to the host, to be written to `path`."""
        self._collected[Path(path)] = snapshot(state_dict, {})

    def load(self, path: str, map_location: Any = None) -> Any:
        """What `save` wrote to `path`."""
        with torch.serialization.safe_globals(list(self._safe_types)):
            return torch.load(path, map_location=map_location, weights_only=True)

    def commit(self, info: Any) -> bool:
        """A checkpoint's last object is collected; `start` writes them."""
        return True

    def is_data_parallel_writer(self, rank: int) -> bool:
        """Who writes what all ranks have alike."""
        return rank == 0

    def is_decoupled(self) -> bool:
        """DeepSpeed need not wait for this writer: the store does."""
        return False

    def preserves_storage_sharing(self) -> bool:
        """`snapshot` keeps no more than what is asked for, so DeepSpeed need not copy views first."""
        return False

    def set_commit_info(self, info: Any) -> None:
        """Not used."""

    def get_commit_info(self) -> None:
        """Not used."""

    def cleanup(self) -> None:
        """Called when the engine is closed."""


def snapshot(value: Any, seen: dict[tuple[Any, ...], Tensor]) -> Any:
    """A copy of `value` with all tensors on the host; tensors that are one (tied weights) stay one."""
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

    Raises OSError with the name of the file.
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
    """The file that torch.save writes to: hashes what passes through, and remembers the error that stopped it."""

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
