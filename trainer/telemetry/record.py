"""The run record, run.json: what ran, on what, with which versions, and how it ended."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

COMMIT_FILE = "COMMIT"  # in a snapshot of the code, which has no history to ask
PACKAGES = ("torch", "deepspeed", "transformers", "datasets", "tokenizers", "numpy")


def versions() -> dict[str, str]:
    """Versions of Python, the packages that shape results, and the commit of the code where it is known."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    found["commit"] = commit()
    return found


def write_record(path: Path, fields: dict[str, Any]) -> None:
    """Merge `fields` into the record at `path`, replaced in one step."""
    record = read_json(path) or {
        "host": socket.gethostname(), "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "versions": versions()}
    write_json(path, {**record, **fields})


def read_json(path: Path) -> dict[str, Any]:
    """What `write_json` wrote; empty where there is nothing to be read: the next life of a run writes it anew."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON through a temporary name, on the disk before it has its name: nobody sees half of it."""
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def commit() -> str:
    """The commit of this code, as git or the snapshot that it lies in knows it, else "unknown"."""
    root = Path(__file__).parent.parent.parent
    if (root / COMMIT_FILE).is_file():
        return (root / COMMIT_FILE).read_text(encoding="utf-8").strip()
    try:
        head = subprocess.run(["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
                              capture_output=True, text=True, timeout=10, check=False, process_group=0)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return head.stdout.strip() or "unknown"
