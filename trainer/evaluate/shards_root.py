"""Search for the folder of cells that a run was trained from.

A recipe usually names it relative to the working directory of training, and runs are moved and copied together with
their shards, so that the recorded path may no longer exist.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from data_prep.base.errors import InputError
from data_prep.shards.read import find_cells
from trainer.runs.record import RunRecord


def find_shards_root(run: Path, record: RunRecord, given: str | None) -> Path:
    """The folder `given` by the user, else the recorded one, else one of its name beside the run or above it.

    Prints a line if it is not the recorded one. Raises InputError if none holds a finished cell.
    """
    if given is not None:
        return Path(given)
    recorded = record.shards_root
    candidates = list(dict.fromkeys(_candidates(run, recorded, record.shards_path)))
    for number, candidate in enumerate(candidates):
        if candidate.is_dir() and find_cells(candidate):
            if number:
                print(f"shards: {candidate} (the run was trained from {recorded}, where there are none)")
            return candidate
    raise InputError(f"{run}: trained from the shards in {recorded}, and neither there nor beside the run are any; "
                     "name their folder with --shards")


def _candidates(run: Path, recorded: str, whole: str | None) -> Iterator[Path]:
    """`recorded`, `whole` (its absolute path in training), then folders of that name below every parent of the run."""
    yield Path(recorded)
    if whole:
        yield Path(whole)
    parents = Path(os.path.abspath(run)).parents
    if not os.path.isabs(recorded):
        yield from (Path(os.path.normpath(parent / recorded)) for parent in parents)
    name = Path(os.path.abspath(whole or recorded)).name
    yield from (parent / name for parent in parents if name)
