"""Places where the cells that a run was trained from may be now.

A recipe usually names their folder relative to the working directory of training, and runs are moved and copied
together with their shards, so that the recorded path may no longer exist.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from data_prep.shards.read import find_cells
from trainer.runs.record import RunRecord


def places_of_shards(run: Path, record: RunRecord) -> Iterator[Path]:
    """The recorded path, its absolute one in training, then folders of that name below every parent of the run."""
    recorded, whole = record.shards_root, record.shards_path
    yield Path(recorded)
    if whole:
        yield Path(whole)
    parents = Path(os.path.abspath(run)).parents
    if not os.path.isabs(recorded):
        yield from (Path(os.path.normpath(parent / recorded)) for parent in parents)
    name = Path(os.path.abspath(whole or recorded)).name
    yield from (parent / name for parent in parents if name)


def has_cells(root: Path) -> bool:
    """Whether a folder holds a finished cell."""
    return root.is_dir() and bool(find_cells(root))


def shards_of(run: Path, record: RunRecord) -> Path:
    """The first of these places that holds a cell; the recorded path where none does."""
    return next((place for place in places_of_shards(run, record) if has_cells(place)), Path(record.shards_root))
