"""The record of a submitted job: `<home>/slurm/<number>-<kind>/`, where home is a run, or the folder of the runs.

    job.json    what was submitted, as which job
    job.sbatch  the script
    code/       the snapshot of the code that it runs
    NAME.yaml   the recipe, with every default written out
    lives.tsv   a line for each start and end of the job, written by the job itself
    *.out       what the job says
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import pydantic.dataclasses

from data_prep.base.errors import InputError
from data_prep.base.files import write_json
from trainer.runs import folder as run_dir
from trainer.runs.record import COMMIT_FILE, commit

ROOT = Path(__file__).parents[1]
PACKAGES = ("data_prep", "trainer", "slurm", "ds_configs")
FILE, SCRIPT, CODE, LIVES = "job.json", "job.sbatch", "code", "lives.tsv"


@pydantic.dataclasses.dataclass(frozen=True)  # read back from a file, which may be damaged
class Record:
    """What job.json holds."""

    job: str
    """SLURM's id."""
    kind: str
    name: str
    runs: list[str]
    """Names of the runs that it trains, one per element of an array; they lie where the record's home does."""
    after: list[str]
    """Ids of the jobs that it waited for."""
    command: list[str]
    """What was typed behind `python -m slurm.submit`."""
    submitted: str
    commit: str


@dataclass(frozen=True)
class Event:
    """What counts of a line of lives.tsv: time, job, life, event, code, nodes."""

    job: str
    event: str
    """started, requeued, done, failed, terminated (by SLURM)"""
    code: str


def next_folder(home: Path, kind: str, planned: Collection[Path] = ()) -> Path:
    """The folder of the next record below `home`, absolute, beside `planned` ones; it is not made."""
    jobs = (home / run_dir.JOBS).resolve()
    taken = [path.name.partition("-")[0] for path in (*jobs.glob("*-*"), *planned) if path.parent == jobs]
    return jobs / f"{max((int(number) for number in taken if number.isdigit()), default=0) + 1}-{kind}"


def write(folder: Path, script: str, recipe: tuple[str, str] | None) -> None:
    """Make `folder` with the script, the recipe, and the snapshot of the code; leaves nothing where it fails."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise InputError(f"{folder} has just been made by another submission; give the same command again") from None
    try:
        for package in PACKAGES:
            shutil.copytree(ROOT / package, folder / CODE / package, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / CODE / COMMIT_FILE).write_text(commit() + "\n", encoding="utf-8")
        if recipe is not None:
            (folder / recipe[0]).write_text(recipe[1], encoding="utf-8")
        (folder / SCRIPT).write_text(script, encoding="utf-8")
    except BaseException:
        remove(folder)
        raise


def remove(folder: Path) -> None:
    """Take a record away whose job was refused, and the folders above that only it was in."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # the first that is not empty ends it
        for parent in folder.parents[:3]:
            parent.rmdir()


def finish(folder: Path, record: Record) -> None:
    """Write what was submitted; from here on `slurm.status` shows it."""
    write_json(folder / FILE, asdict(record))


def read_all(runs: Path) -> Iterator[tuple[Path, Record]]:
    """The records below a folder of runs with their folders, by time of submission; damaged ones are a warning."""
    found = []
    for file in [*runs.glob(f"{run_dir.JOBS}/*/{FILE}"), *runs.glob(f"*/{run_dir.JOBS}/*/{FILE}")]:
        try:
            found.append((file.parent, Record(**json.loads(file.read_text(encoding="utf-8")))))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            print(f"warning: {file} is no record of a job ({error}); passed over", file=sys.stderr)
    yield from sorted(found, key=lambda pair: (pair[1].submitted, len(pair[1].job), pair[1].job))


def events(folder: Path) -> list[Event]:
    """What the job has written of its lives; lines that were cut short are left out."""
    try:
        lines = (folder / LIVES).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    fields = [line.split("\t") for line in lines]
    return [Event(job, event, code) for _, job, _, event, code, _ in (line for line in fields if len(line) == 6)]
