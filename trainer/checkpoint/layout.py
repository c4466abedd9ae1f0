"""The layout of checkpoints: `<run>/checkpoints/step-00001000/` with `manifest.json`, which is written last.

A checkpoint counts only if its manifest is there and every file it names has the size it names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = "checkpoints"
MANIFEST = "manifest.json"
PREFIX = "step-"
FORMAT_VERSION = 1


def checkpoint_name(update: int) -> str:
    """Folder name of the checkpoint after `update` updates."""
    return f"{PREFIX}{update:08d}"


def update_of(path: Path) -> int:
    """The number of updates in a checkpoint folder's name."""
    return int(path.name.removeprefix(PREFIX))


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of the checkpoint at `path`, or None where there is none that can be read."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = isinstance(manifest, dict) and manifest.get("format_version") == FORMAT_VERSION
    return manifest if known and isinstance(manifest.get("files"), dict) else None


def is_complete(path: Path) -> bool:
    """Whether the checkpoint at `path` is whole: manifest there, every file of every rank with its size."""
    manifest = read_manifest(path)
    if manifest is None:
        return False
    return all((path / name).is_file() and (path / name).stat().st_size == size
               for name, size in manifest["files"].items())


def complete_checkpoints(run_dir: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    found = [path for path in (run_dir / FOLDER).glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdigit()]
    return sorted((path for path in found if is_complete(path)), key=update_of)
