"""Content of files and folders as a digest, with a cache, so that a node is named by what it reads.

Input: paths outside the study's folder (benchmark files, a model). Output: hex digests; those of files that are
unchanged by size and time are read from `<study>/contents.json`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from data_prep.base.files import file_sha256, read_json, write_json

CACHE = "contents.json"


class Contents:
    """Digests of paths; `save` keeps them."""

    def __init__(self, out: Path) -> None:
        self._file = out / CACHE
        self._known: dict[str, Any] = read_json(self._file)
        self._fresh: dict[str, str] = {}

    def digest(self, path: Path) -> str:
        """SHA-256 over the names and contents of all files at `path`, hidden ones left out."""
        place = str(path.resolve())
        if place not in self._fresh:
            files = [path] if path.is_file() else sorted(
                file for file in path.rglob("*") if file.is_file()
                and not any(part.startswith(".") for part in file.relative_to(path).parts))
            whole = hashlib.sha256()
            for file in files:
                whole.update(f"{file.relative_to(path) if file != path else ''}\0{self._of_file(file)}\n".encode())
            self._fresh[place] = whole.hexdigest()
        return self._fresh[place]

    def _of_file(self, file: Path) -> str:
        place, facts = str(file.resolve()), file.stat()
        stamp = [facts.st_size, facts.st_mtime_ns]
        known = self._known.get(place)
        if not isinstance(known, list) or known[:2] != stamp:
            known = self._known[place] = [*stamp, file_sha256(file)]
        return str(known[2])

    def save(self) -> None:
        """Write the cache beside the study's results."""
        write_json(self._file, self._known)
