"""Commits of the hub's repositories, pinned where they are first used.

`revisions.json` beside the shards names the commit of each repository, so that cells that are built later come from
the same one. A repository whose commit cannot be told (no network, nothing in the cache) is not pinned; the hash of the
rows is in the manifest nevertheless.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import huggingface_hub

from data_prep.base.errors import InputError
from data_prep.base.files import write_json
from data_prep.base.lock import held_beside

REVISIONS_FILE = "revisions.json"
COMMIT = r"[0-9a-f]{40}"


class Revisions:
    """Commits by repository; `repository@revision` where the task asks for one that is not the main branch."""

    def __init__(self, out: Path, renew: bool = False) -> None:
        """Take the commits of `out`; `renew` asks the hub again (--overwrite)."""
        self._file, self._renew = out / REVISIONS_FILE, renew
        self._new: dict[str, str] = {}

    def commit(self, repo: str, revision: str | None) -> str | None:
        """The commit of a repository; None for a folder, and if it is not known.

        Raises InputError if the file of commits is damaged.
        """
        name = f"{repo}@{revision}" if revision else repo
        if Path(repo).is_dir():
            return None
        if re.fullmatch(COMMIT, revision or ""):
            return revision
        pinned = None if self._renew else self._pinned().get(name)
        if name not in self._new and (found := pinned or _resolve(repo, revision)):
            self._new[name] = found
        return self._new.get(name)

    def keep(self) -> None:
        """Write the commits that were used beside those that are there."""
        if self._new:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with held_beside(self._file, "build", wait=True):
                there = self._pinned()
                if {**there, **self._new} != there:
                    write_json(self._file, dict(sorted({**there, **self._new}.items())))

    def _pinned(self) -> dict[str, str]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not all(
                isinstance(commit, str) and re.fullmatch(COMMIT, commit) for commit in found.values()):
            raise InputError(f"{self._file}: expected a JSON object of repositories and their commits; correct it, or "
                             "remove it to pin the repositories anew")
        return found


def _resolve(repo: str, revision: str | None) -> str | None:
    """The commit of a branch as the hub tells it, or else as it was when the hub was last asked from here."""
    try:
        if not huggingface_hub.constants.HF_HUB_OFFLINE:
            return huggingface_hub.HfApi().dataset_info(repo, revision=revision).sha
    except Exception:  # network, permissions, no such repository: loading it tells which
        pass
    cache = Path(huggingface_hub.constants.HF_HUB_CACHE)
    ref = cache / f"datasets--{repo.replace('/', '--')}" / "refs" / (revision or "main")
    try:
        found = ref.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return found if re.fullmatch(COMMIT, found) else None
