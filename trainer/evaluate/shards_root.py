"""The folder of cells that a run was trained from, looked for where the run lies now.

A recipe usually names it relative to the folder that training was started in, and runs are moved and copied together
with their shards: the recorded path then leads nowhere, or there is another way to it.
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

    Says so where it is not the recorded one. Raises InputError, which names --shards, where none holds a finished cell.
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
    """`recorded` from here, `whole` (its absolute path in training), then below every folder that the run lies in."""
    yield Path(recorded)
    if whole:
        yield Path(whole)
    parents = Path(os.path.abspath(run)).parents
    if not os.path.isabs(recorded):
        yield from (Path(os.path.normpath(parent / recorded)) for parent in parents)
    name = Path(os.path.abspath(whole or recorded)).name
    yield from (parent / name for parent in parents if name)
