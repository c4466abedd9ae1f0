"""The run record, run.json: what ran, on what, with which versions, and how it ended."""

from __future__ import annotations

import importlib.metadata
import platform
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from data_prep.base.files import read_json, write_json

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
