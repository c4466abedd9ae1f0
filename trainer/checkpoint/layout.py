"""Layout of checkpoints: `<run>/checkpoints/step-00001000/` with `manifest.json`, which is written last.

A checkpoint is complete if its manifest exists and every file named there has the recorded size; `damaged_files` also
compares hashes.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from data_prep.base.files import file_sha256

FOLDER = "checkpoints"
MANIFEST = "manifest.json"
PREFIX = "step-"
TEMPORARY = ".tmp-"
UNIVERSAL = ".universal-"
FORMAT_VERSION = 2


def checkpoint_name(step: int) -> str:
    """Folder name of the checkpoint after step `step`."""
    return f"{PREFIX}{step:08d}"


def step_of(path: Path) -> int:
    """The step in a checkpoint folder's name."""
    return int(path.name.removeprefix(PREFIX))


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of the checkpoint at `path`, or None if it is missing or unreadable."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    known = isinstance(manifest, dict) and manifest.get("format_version") == FORMAT_VERSION
    if not known or not isinstance(manifest.get("files"), dict):
        return None
    names = [Path(name).name == name and isinstance(file, dict) and {"size", "sha256"} <= file.keys()
             for name, file in manifest["files"].items()]
    return manifest if all(names) else None


def changed_data(path: Path, rows_sha256: dict[str, str]) -> str | None:
    """First difference of the checkpoint's cells from `rows_sha256` (hash of rows by name), in words; None if equal."""
    before = (read_manifest(path) or {}).get("cells")
    if not isinstance(before, dict):
        return "the rows that it was trained on are not recorded"
    for name in {**before, **rows_sha256}:
        if name not in rows_sha256:
            return f"cell {name} is no longer among the run's cells"
        if name not in before:
            return f"cell {name} was not among the run's cells"
        if before[name] != rows_sha256[name]:
            return f"the rows of cell {name} were others (sha256 {str(before[name])[:12]} then, " \
                   f"{rows_sha256[name][:12]} now)"
    return None


def is_complete(path: Path) -> bool:
    """True if the checkpoint at `path` has its manifest, and every file of every rank with its recorded size."""
    manifest = read_manifest(path)
    if manifest is None:
        return False
    return all((path / name).is_file() and (path / name).stat().st_size == file["size"]
               for name, file in manifest["files"].items())


def complete_checkpoints(run_dir: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    found = [path for path in (run_dir / FOLDER).glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdigit()]
    return sorted((path for path in found if is_complete(path)), key=step_of)


def remove_checkpoints(run_dir: Path) -> None:
    """Remove all checkpoints of a run, after what stands in the run's folder in their place, done.json, is on disk."""
    folder = run_dir / FOLDER  # or a link to one
    if not folder.is_dir():
        return
    flush_folder(run_dir)
    for path in list(folder.iterdir()):
        if path.name.startswith((PREFIX, TEMPORARY, UNIVERSAL)):
            shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        folder.rmdir()


def flush_folder(path: Path) -> None:
    """Flush a rename in this folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def damaged_files(path: Path, part: int, parts: int) -> list[str]:
    """Names of the files whose hash is not the recorded one, among every `parts`-th file from number `part` on."""
    manifest = read_manifest(path) or {"files": {}}
    names = sorted(manifest["files"])[part::parts]
    return [name for name in names if _sha256(path / name) != manifest["files"][name]["sha256"]]


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError:
        return "unreadable"
