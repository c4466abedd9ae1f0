"""`python -m slurm.submit KIND WORDS... [--nodes N] [--dry_run]`: render a job script, record what it runs, submit it.

KIND and the words behind it are those of `slurm/jobs.py`; `chain FILE` submits one such line after the other, each to
start once all before it have succeeded. Nothing is written or submitted before all words have been checked and SLURM
has accepted the script in a test. Output: the job, and its record below the run's folder (`slurm/submission.py`).
"""

from __future__ import annotations

import inspect
import os
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.base import interrupt

if __name__ == "__main__":
    interrupt.listen()

from data_prep.base import cli
from data_prep.base.command_table import Command
from data_prep.base.errors import InputError
from slurm import scheduler
from slurm import submission as record
from slurm.jobs import KINDS, Work
from slurm.render import render
from trainer.runs.record import commit

PROGRAM = "python -m slurm.submit"
KEPT = "jobs submitted so far are cancelled again; look with `squeue --me`"
TASK_PER_GPU = ("intermediate", "robust", "sweep", "evaluate")


@dataclass(frozen=True)
class Link:
    """A job that is ready for submission."""

    work: Work
    folder: Path
    """Folder of its record."""
    script: str
    after: Sequence[str]
    """Ids of jobs to wait for."""
    command: Sequence[str]
    """Command line."""
    when: str = "afterok"
    """How jobs in `after` must have ended (see `scheduler.submit`)."""


def submit_all(links: Sequence[Link], dry_run: bool) -> int:
    """Submit `links`, each after all before it, all or none; a dry run prints what would be submitted."""
    for link in links:
        if link.work.done:
            print(f"{link.work.kind} {link.work.name} is done; nothing to do")
    links = [link for link in links if not link.work.done]
    if dry_run:
        return _show(links)
    if absent := _absent_inputs(links):
        raise InputError(f"{absent[0]} is not there, and the job waits for none that makes it; make it first, or name "
                         "the job that does with --after")
    for link in links:
        scheduler.check(link.script)
    _refuse_what_is_under_way(links)
    jobs: list[str] = []
    try:
        for link in links:
            jobs.append(hand_in(link, jobs))
    except BaseException:
        if jobs:
            scheduler.cancel(jobs)
            print(f"cancelled again: {', '.join(jobs)}", file=sys.stderr)
        raise
    return 0


def hand_in(link: Link, earlier: Sequence[str], code: Path | None = None) -> str:
    """Record one job, with the snapshot of the code at `code` or its own, submit it and print it; returns its id."""
    work, after = link.work, [*link.after, *earlier]
    record.write(link.folder, link.script, work.recipe, code)
    job = None
    try:
        job = scheduler.submit(link.script, after, link.when)
        record.finish(link.folder, record.Record(
            job, work.kind, work.name, [run.name for run in work.runs], after, list(link.command),
            time.strftime("%Y-%m-%dT%H:%M:%S%z"), commit()))
    except BaseException:
        if job is not None:
            scheduler.cancel([job])
        record.remove(link.folder)
        raise
    size = f" in {work.elements} elements" if work.elements is not None else ""
    waits = f", after {', '.join(after)}" if after else ""
    print(f"job {job}: {work.kind} {work.name}{size}{waits}; {os.path.relpath(link.folder)}", flush=True)
    return job


def job_command(kind: str, words: Sequence[str], typed: Sequence[str] = (),
                links: list[Link] | None = None) -> Command:
    """Command that submits a job of `kind` with `words` (command line `typed`), or appends it to `links`."""

    def submit(*, nodes: int | None = None, gpus: int | None = None, cpus: int | None = None, time: str | None = None,
               partition: str | None = None, account: str | None = None, options: str | None = None,
               lives: int | None = None, after: str | None = None, runs: str = "runs", dry_run: bool = False) -> int:
        chosen = sbatch_options(kind in TASK_PER_GPU, nodes=nodes, gpus=gpus, cpus=cpus, time=time,
                                partition=partition, account=account, options=options, lives=lives)
        work = KINDS[kind](words, Path(runs))
        folder = record.next_folder(work.home, kind, [link.folder for link in links or ()])
        link = Link(work, folder, render(work, chosen, folder, lives), after.split(",") if after else [], typed)
        if links is None:
            return submit_all([link], dry_run)
        links.append(link)
        return 0

    submit.__doc__ = f"""{KINDS[kind].__doc__}

        nodes, time, partition, account: as in sbatch. gpus: per node, in training and evaluation with one task each;
        0 for none. cpus: per task. options: other sbatch options as one word: --options="--mem=64G --exclude=node7".
        lives: how often the job may start, with its requeues. after: comma list of ids of jobs that must succeed first.
        runs: folder for the records of jobs that belong to no single run. dry_run: show the script, submit nothing.
        """
    return submit


def sbatch_options(task_per_gpu: bool, *, nodes: int | None, gpus: int | None, cpus: int | None, time: str | None,
                   partition: str | None, account: str | None, options: str | None,
                   lives: int | None) -> dict[str, str | None]:
    """Options of sbatch by long name for our flags; None removes one. Raises InputError for those out of range."""
    _at_least(1, nodes=nodes, cpus=cpus, lives=lives)
    _at_least(0, gpus=gpus)
    given = {"nodes": nodes, "cpus-per-task": cpus, "time": time, "partition": partition, "account": account}
    chosen: dict[str, str | None] = {name: str(value) for name, value in given.items() if value is not None}
    if gpus is not None:
        chosen["gpus-per-node"] = str(gpus) if gpus else None
        if task_per_gpu:
            chosen["ntasks-per-node"] = str(max(1, gpus))
    return {**chosen, **_more_options(options or "")}


def chain(file: str, *, dry_run: bool = False) -> int:
    """FILE: one job per line, as behind `python -m slurm.submit`; each job waits for all before it.

    If a job fails, those behind it are cancelled. Repeating the command skips finished jobs.
    """
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    links: list[Link] = []
    for number, line in enumerate(lines, start=1):
        try:
            words = shlex.split(line, comments=True)
            if words and words[0] not in KINDS:
                raise InputError(f"no kind of job {words[0]!r}; kinds: {', '.join(KINDS)}")
            if words:
                own, rest = split_words(words[1:])
                cli.call(job_command(words[0], rest, words, links), own, words[0])
        except (InputError, ValueError) as error:
            raise InputError(f"{file}, line {number}: {error}") from None
    if not links:
        raise InputError(f"{file} holds no job; expected a line such as: robust xnli_pgd --nodes 2")
    return submit_all(links, dry_run)


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split words into flags of this program with their values, and words of the command that the job runs."""
    names = inspect.signature(job_command("prepare", ())).parameters
    own: list[str] = []
    others: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        flag, equals, _ = word.partition("=")
        mine = flag.startswith("--") and flag[2:].replace("-", "_") in names
        (own if mine or word in ("-h", "--help") else others).append(word)
        if mine and not equals and rest and not rest[0].startswith("--") and flag[2:].replace("-", "_") != "dry_run":
            own.append(rest.pop(0))
    return own, others


def main(argv: Sequence[str]) -> int:
    """Run one command line; the exit code is 2 for bad input."""
    own, words = split_words(argv[1:])
    commands: dict[str, Command] = {kind: job_command(kind, words, argv) for kind in KINDS}
    if argv and argv[0] in KINDS:
        return cli.main(commands, [argv[0], *own], PROGRAM, KEPT)
    return cli.main({**commands, "chain": chain}, argv, PROGRAM, KEPT)


def _show(links: Sequence[Link]) -> int:
    """Print the scripts, and obstacles to stderr. Raises InputError if SLURM would refuse one."""
    for link in links:
        print(link.script, end="", flush=True)
    for path in _absent_inputs(links):
        print(f"not there yet: {path}", file=sys.stderr)
    if not shutil.which("sbatch"):
        print("no sbatch here: not checked against a cluster", file=sys.stderr)
        return 0
    for link in links:
        print(scheduler.check(link.script), file=sys.stderr)
    return 0


def _absent_inputs(links: Sequence[Link]) -> list[Path]:
    """Missing inputs of the first job; jobs behind it may wait for their inputs to be made."""
    return [path for link in links[:1] if not link.after for path in link.work.needs if not path.exists()]


def _refuse_what_is_under_way(links: Sequence[Link]) -> None:
    """Raise InputError if a run already has a pending or running job; two would compete for it."""
    wanted = {run.resolve() for link in links for run in link.work.runs}
    submitted = [(folder / name, found) for folder in {run.parent for run in wanted}
                 for _, found in record.read_all(folder) for name in found.runs]
    known = [(run, found) for run, found in submitted if run in wanted]
    queue = scheduler.queue() if known else {}
    active = {name.partition("_")[0] for name, job in queue.items() if not job.ended}
    for run, found in known:
        if found.job in active:
            where = os.path.relpath(run)
            raise InputError(f"{where}: job {found.job} ({found.kind}) is in the queue already; wait for "
                             "its end, or scancel it")


def _more_options(text: str) -> Mapping[str, str]:
    """Parse sbatch options, by name, from one word of the command line."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"--options {text!r}: {error}") from None
    for word in words:
        if not word.startswith("--") or not word[2:].partition("=")[0].replace("-", "").isalnum():
            raise InputError(f"--options: expected options of sbatch such as --mem=64G, found {word!r}")
    pairs = (word[2:].partition("=") for word in words)
    return {name: value for name, _, value in pairs}


def _at_least(least: int, **numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and number < least:
            raise InputError(f"--{name} must be at least {least}, found {number}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
