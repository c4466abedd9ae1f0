"""Local copies of cells, one per node, in the folder given by `SHARDS_SCRATCH`.

Input: a cell on a file system that all nodes share. Output: the open cell, read from its copy if there is one; its path
and all messages keep the shared path. Results do not depend on it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

from data_prep.base.errors import InputError
from data_prep.base.lock import working_path
from data_prep.shards.manifest import MANIFEST_FILE
from data_prep.shards.read import Cell, open_cell

VARIABLE = "SHARDS_SCRATCH"
_log = logging.getLogger(__name__)


def open_near(path: Path, verify: Literal["size", "sha256", "none"] = "size") -> Cell:
    """Open the cell at `path` (see `data_prep.shards.read.open_cell`), from the node's scratch folder if there is one.

    The ranks of a node wait for the first of them to copy it. Copies are identified by the hash of the manifest, which
    contains those of the shards, so a rebuilt cell is copied again. If copying fails, the shared cell is read, after a
    warning. Raises InputError as `open_cell` does.
    """
    scratch = os.environ.get(VARIABLE)
    if not scratch:
        return open_cell(path, verify)
    checked = open_cell(path, "size")  # so that errors name the path that the user knows
    digest = hashlib.sha256((path / MANIFEST_FILE).read_bytes()).hexdigest()[:16]
    near = Path(scratch, "shards", digest, *path.parts[-3:])
    try:
        with working_path(near, "copy of shards", wait=True) as temporary:
            if not near.exists():
                shutil.copytree(path, temporary)
                os.replace(temporary, near)
        return replace(open_cell(near, verify), path=path)
    except (OSError, shutil.Error, InputError) as error:
        _log.warning("%s=%s: %s; reading %s where it is", VARIABLE, scratch, error, path)
        return checked if verify == "size" else open_cell(path, verify)
