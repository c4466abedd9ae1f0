"""The record of a submitted job: `<home>/slurm/<number>-<kind>/`, where home is a run, or the folder of the runs.

    job.json    what was submitted, as which job
    job.sbatch  the script
    code/       the snapshot of the code that it runs; of a study's jobs a link to one that they share
    NAME.yaml   the recipe, with every default written out
    lives.tsv   a line per start and end of the job, written by the job itself
    *.out       output of the job
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import pydantic.dataclasses

from data_prep.base.errors import InputError
from data_prep.base.files import file_sha256, put_in_place, working_folder, write_json
from trainer.runs import folder as run_dir
from trainer.runs.record import COMMIT_FILE, commit

ROOT = Path(__file__).parents[1]
PACKAGES = ("data_prep", "trainer", "slurm", "ds_configs")
FILE, SCRIPT, CODE, LIVES = "job.json", "job.sbatch", "code", "lives.tsv"


@pydantic.dataclasses.dataclass(frozen=True)  # read back from a file, which may be damaged
class Record:
    """Content of job.json."""

    job: str
    """SLURM's id."""
    kind: str
    name: str
    runs: list[str]
    """Names of the runs that it trains, one per array element; they lie beside the record's home."""
    after: list[str]
    """Ids of the jobs it waited for."""
    command: list[str]
    """Command line behind `python -m slurm.submit`."""
    submitted: str
    commit: str


@dataclass(frozen=True)
class Event:
    """Job, event and code of a line of lives.tsv (time, job, life, event, code, nodes)."""

    job: str
    event: str
    """started, requeued, done, failed, terminated (by SLURM)"""
    code: str


def next_folder(home: Path, kind: str, planned: Collection[Path] = ()) -> Path:
    """Absolute path of the next record below `home`, counting `planned` ones; it is not created."""
    jobs = (home / run_dir.JOBS).resolve()
    taken = [path.name.partition("-")[0] for path in (*jobs.glob("*-*"), *planned) if path.parent == jobs]
    return jobs / f"{max((int(number) for number in taken if number.isdigit()), default=0) + 1}-{kind}"


def write(folder: Path, script: str, recipe: tuple[str, str] | None, code: Path | None = None) -> None:
    """Create `folder` with script, recipe and snapshot of the code; nothing is left if that fails.

    code: a snapshot to link to (see `shared_snapshot`), in place of one of its own.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise InputError(f"{folder} has just been made by another submission; give the same command again") from None
    try:
        if code is not None:
            (folder / CODE).symlink_to(code, target_is_directory=True)
        else:
            _copy_code(folder / CODE)
        if recipe is not None:
            (folder / recipe[0]).write_text(recipe[1], encoding="utf-8")
        (folder / SCRIPT).write_text(script, encoding="utf-8")
    except BaseException:
        remove(folder)
        raise


def shared_snapshot(home: Path) -> Path:
    """Snapshot of the code for many records, `<home>/code/<digest>`; one that is there already is used again."""
    whole = hashlib.sha256()
    files = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*")) if path.is_file())
    for file in files:
        if "__pycache__" not in file.parts:
            whole.update(f"{file.relative_to(ROOT)}\0{file_sha256(file)}\n".encode())
    place = home.resolve() / CODE / whole.hexdigest()[:12]
    if not place.exists():
        with working_folder(place, "snapshot of the code") as folder:
            _copy_code(folder)
            put_in_place(folder, place)
    return place


def _copy_code(place: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, place / package, ignore=shutil.ignore_patterns("__pycache__"))
    (place / COMMIT_FILE).write_text(commit() + "\n", encoding="utf-8")


def remove(folder: Path) -> None:
    """Remove the record of a refused job, and the parent folders that are empty then."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # stops at the first that is not empty
        for parent in folder.parents[:3]:
            parent.rmdir()


def finish(folder: Path, record: Record) -> None:
    """Write job.json; from then on `slurm.status` shows the job."""
    write_json(folder / FILE, asdict(record))


def read_all(runs: Path) -> Iterator[tuple[Path, Record]]:
    """(folder, record) of all jobs below a folder of runs, by time of submission; warns of damaged records."""
    found = []
    for file in [*runs.glob(f"{run_dir.JOBS}/*/{FILE}"), *runs.glob(f"*/{run_dir.JOBS}/*/{FILE}")]:
        try:
            found.append((file.parent, Record(**json.loads(file.read_text(encoding="utf-8")))))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            print(f"warning: {file} is no record of a job ({error}); passed over", file=sys.stderr)
    yield from sorted(found, key=lambda pair: (pair[1].submitted, len(pair[1].job), pair[1].job))


def events(folder: Path) -> list[Event]:
    """Events that the job has written to lives.tsv; truncated lines are left out."""
    try:
        lines = (folder / LIVES).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    fields = [line.split("\t") for line in lines]
    return [Event(job, event, code) for _, job, _, event, code, _ in (line for line in fields if len(line) == 6)]
