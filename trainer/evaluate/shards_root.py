"""Choice of the folder of cells for a command on a run: as the user says, else where the run's own are now."""

from __future__ import annotations

from pathlib import Path

from data_prep.base.errors import InputError
from trainer.runs.record import RunRecord
from trainer.runs.shards import has_cells, places_of_shards


def find_shards_root(run: Path, record: RunRecord, given: str | None) -> Path:
    """The folder `given` by the user, else the recorded one, else one of its name beside the run or above it.

    Prints a line if it is not the recorded one. Raises InputError if none holds a finished cell.
    """
    if given is not None:
        return Path(given)
    recorded = record.shards_root
    for number, place in enumerate(dict.fromkeys(places_of_shards(run, record))):
        if has_cells(place):
            if number:
                print(f"shards: {place} (the run was trained from {recorded}, where there are none)")
            return place
    raise InputError(f"{run}: trained from the shards in {recorded}, and neither there nor beside the run are any; "
                     "name their folder with --shards")
