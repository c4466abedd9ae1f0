"""A run's folder in place of a recipe: `trainer train RUN` goes on with the run, from any working directory.

Paths in a run's recipe are relative to the working directory of its training, which its record names relative to the
run's folder: so a run goes on where it lies now, with the data that were moved together with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, nullcontext
from pathlib import Path

from trainer.config.load import shipped_recipes
from trainer.runs.folder import CONFIG, RECORD
from trainer.runs.record import read_record
from trainer.runs.shards import has_cells, shards_of, started_in

PATHS = ("output", "init_from", "model.name", "engine.config", "data.shards")  # keys of a recipe


def named_run(recipe: str) -> Path | None:
    """The run whose folder, or whose config.yaml, `recipe` names; None where it names a recipe."""
    if recipe in shipped_recipes():
        return None
    path = Path(recipe)
    folder = path.parent if path.name == CONFIG else path
    return folder if (folder / CONFIG).is_file() and (folder / RECORD).is_file() else None


@contextmanager
def going_on(run: Path, given: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Context in the working directory that `run` was started in; yields (its recipe, overrides).

    Overrides are the run's place, the place of its shards where they are not where they were, and `given`, in which
    paths are those of the working directory outside.
    """
    run, record = Path(os.path.abspath(run)), read_record(run)
    place = started_in(run, record) if record is not None else None
    kept = {"name": run.name, "output": str(run.parent)}
    if record is not None:
        kept["data.shards"] = record.shards_root
        if not has_cells((place or Path()) / record.shards_root):
            kept["data.shards"] = os.path.abspath(shards_of(run, record))
    typed = {key: os.path.abspath(value) if key in PATHS and os.path.exists(value) else value
             for key, value in given.items()}
    with nullcontext() if place is None or not place.is_dir() else chdir(place):
        yield str(run / CONFIG), {**kept, **typed}
