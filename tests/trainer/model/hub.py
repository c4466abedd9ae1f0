"""A stand-in of the hub: repositories in huggingface_hub's cache, without network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest

FIRST, SECOND = "1" * 40, "2" * 40


def offline(monkeypatch: pytest.MonkeyPatch, cache: Path, kind: str = "models") -> Callable[[str, str], Path]:
    """Take `cache` for huggingface_hub's, offline; returns what makes a commit the main branch of a repository.

    That function gives the folder of the commit's files. kind: `models` or `datasets`.
    """
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

    def commit(name: str, commit_hash: str = FIRST) -> Path:
        repository = cache / f"{kind}--{name.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True, exist_ok=True)
        (repository / "refs" / "main").write_text(commit_hash)
        return repository / "snapshots" / commit_hash

    return commit
