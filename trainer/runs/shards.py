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
    """The recorded path as training saw it: relative to the run as it lies now, then absolute; else as seen from here;
    then folders of that name below every parent of the run.
    """
    recorded, whole = record.shards_root, record.shards_path
    if (place := started_in(run, record)) is not None:
        beside = os.path.normpath(place / recorded)
        yield Path(recorded) if beside == os.path.abspath(recorded) else Path(beside)
        yield from (Path(path) for path in (whole,) if path)
    yield Path(recorded)
    if whole:
        yield Path(whole)
    parents = Path(os.path.abspath(run)).parents
    if not os.path.isabs(recorded):
        yield from (Path(os.path.normpath(parent / recorded)) for parent in parents)
    name = Path(os.path.abspath(whole or recorded)).name
    yield from (parent / name for parent in parents if name)


def started_in(run: Path, record: RunRecord) -> Path | None:
    """Working directory of training, where it is if it was moved together with the run; None if unknown."""
    return None if record.started_in is None else Path(os.path.normpath(run.absolute() / record.started_in))


def has_cells(root: Path) -> bool:
    """True if a folder holds a finished cell."""
    return root.is_dir() and bool(find_cells(root))


def shards_of(run: Path, record: RunRecord) -> Path:
    """The first of these places that holds a cell; the recorded path where none does."""
    return next((place for place in places_of_shards(run, record) if has_cells(place)), Path(record.shards_root))
