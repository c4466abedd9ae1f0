"""`python -m slurm.status [--runs FOLDER]`: the runs and jobs of a folder: state, step, ETA, node, last metric.

Inputs: files of the runs, records of `slurm.submit` with the lives of each job, and `squeue` if available; no
accounting database. Output: a table. The state of jobs that SLURM has forgotten is taken from the files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.base import interrupt

if __name__ == "__main__":
    interrupt.listen()

from data_prep.base import cli
from data_prep.base.errors import InputError
from slurm import scheduler
from slurm import submission as record
from slurm.submission import Record
from trainer.runs import folder as run_dir
from trainer.runs.record import read_record
from trainer.runs.standing import age, config_of, eta, last_metric, last_rows, last_step
from trainer.runs.table import show_table

Queue = Mapping[str, scheduler.Job]


@dataclass(frozen=True)
class Standing:
    """State of a job."""

    state: str
    node: str = ""
    why: str = ""


@dataclass(frozen=True)
class Line:
    """A row of the table."""

    name: str
    kind: str
    job: str
    state: str
    step: str = ""
    eta: str = ""
    node: str = ""
    metric: str = ""
    why: str = ""
    """For failed jobs: how they ended, and where the output is; printed below the table."""


def status(runs: str = "runs") -> int:
    """Show every run below --runs, and every other job that was submitted from there."""
    folder = Path(runs)
    if not folder.is_dir():
        raise InputError(f"{runs}: no such folder; expected the one that holds the runs (--runs FOLDER)")
    try:
        queue: Queue = scheduler.queue()
    except InputError as error:
        queue = {}
        print(f"warning: {error}; states come from the files alone", file=sys.stderr)
    show(list(lines(folder, queue)))
    return 0


def lines(runs: Path, queue: Queue) -> Iterator[Line]:
    """Latest submission of each run and of each other job, by time; then runs that were not submitted."""
    submitted = list(record.read_all(runs))
    by_id = {found.job: (folder, found) for folder, found in submitted}
    latest: dict[tuple[str, ...], tuple[Path, Record, int | None]] = {}
    for folder, found in submitted:
        keys: list[tuple[str, ...]] = [("run", run) for run in found.runs] or [tuple(found.command)]
        for element, key in enumerate(keys):
            latest.pop(key, None)  # to move it behind earlier submissions
            latest[key] = (folder, found, element if found.kind == "sweep" else None)
    for key, job in latest.items():
        folder, found, _ = job
        if found.runs:
            yield of_run(runs / key[1], job, by_id, queue)
        else:
            stands = standing(folder, found, None, by_id, queue)
            yield Line(found.name, found.kind, found.job, stands.state, node=stands.node, why=stands.why)
    for path in sorted(path.parent for path in runs.glob(f"*/{run_dir.CONFIG}")):
        if ("run", path.name) not in latest:
            yield of_run(path, None, by_id, queue)


def of_run(run: Path, job: tuple[Path, Record, int | None] | None, by_id: Mapping[str, tuple[Path, Record]],
           queue: Queue) -> Line:
    """Line of one run, submitted or not."""
    kept = read_record(run)
    if job is not None:
        folder, found, element = job
        stands = standing(folder, found, element, by_id, queue)
        kind, number = found.kind, found.job if element is None else f"{found.job}_{element}"
    else:
        kind, number = "train", (kept.slurm_job if kept else None) or ""
        stands = in_queue([queue[number]]) if number in queue else Standing("not finished")
    logged = list(last_rows(run))
    done, steps = last_step(logged), kept.max_steps if kept else None
    if (run / run_dir.DONE).exists():
        done, stands = steps, Standing("done")
    elif stands == Standing("not finished") and logged:
        stands = Standing(f"not finished, last step {age(run)} ago")
    step = f"{done or 0}/{steps}" if steps else ""
    running = stands.state.startswith("running")
    config = config_of(run)
    left = eta(config, logged, done, steps) if running and done is not None and steps else ""
    return Line(run.name, kind, number, stands.state, step, left, stands.node, last_metric(config, logged), stands.why)


def standing(folder: Path, found: Record, element: int | None, by_id: Mapping[str, tuple[Path, Record]],
             queue: Queue) -> Standing:
    """State of a submitted job or array element, from the queue, else from its own files."""
    own = {name: entry for name, entry in queue.items()
           if name.partition("_")[0] == found.job and element in (None, _element(name))}
    if any(not entry.ended for entry in own.values()):
        return in_queue(list(own.values()))
    last = {event.job: event for event in record.events(folder) if element in (None, _element(event.job))}
    if failed := [event for event in last.values() if event.event == "failed"]:
        return Standing("failed", why=f"exit code {failed[0].code}{_output(folder)}")
    if last and all(event.event == "done" for event in last.values()):
        return Standing("done")
    ended = next((spelt(entry) for entry in own.values() if entry.state != "COMPLETED"), None)
    if last:
        if ended is None and any(event.event == "terminated" for event in last.values()):
            ended = "cancelled, or out of time"
        return Standing(ended, why=f"ended by SLURM{_output(folder)}") if ended else Standing(
            "lost", why=f"neither in the queue nor ended by itself{_output(folder)}")
    for earlier in (name for name in found.after if name in by_id):
        before = standing(*by_id[earlier], None, by_id, queue)
        if before.state == "not run":
            return before
        if before.why:
            return Standing("not run", why=f"job {earlier} ({by_id[earlier][1].kind}) {before.state}")
    return Standing(ended or "not in the queue")


def in_queue(entries: Sequence[scheduler.Job]) -> Standing:
    """State in the queue of a job with these elements."""
    active = [entry for entry in entries if not entry.ended] or entries
    first = next((entry for entry in active if entry.nodes), active[0])
    some = f", {len(active)} of {len(entries)}" if len(entries) > 1 else ""
    return Standing(spelt(first) + some, ",".join(sorted({entry.nodes for entry in active if entry.nodes})))


def spelt(job: scheduler.Job) -> str:
    """Spell out a SLURM state, with the reason while the job is pending."""
    waits = f" ({job.reason})" if job.state == "PENDING" and job.reason != "None" else ""
    return job.state.lower().replace("_", " ") + waits


def show(found: Sequence[Line]) -> None:
    """Print the table without empty columns, one line per row, and below it why jobs failed."""
    if not found:
        print("no runs and no jobs here")
        return
    show_table([(title, [getattr(line, key) for line in found]) for title, key in (
        ("run or job", "name"), ("kind", "kind"), ("job", "job"), ("state", "state"), ("step", "step"), ("ETA", "eta"),
        ("node", "node"), ("last metric", "metric"))], right=("step", "ETA"))
    for line in found:
        if line.why:
            print(f"{line.name} {line.state}: {line.why}")


def _output(folder: Path) -> str:
    """Pointer to the newest output file of a job, to be appended to a message."""
    files = sorted(folder.glob("*.out"), key=lambda path: path.stat().st_mtime)
    return f"; see {os.path.relpath(files[-1])}" if files else ""


def _element(job: str) -> int | None:
    number = job.partition("_")[2]
    return int(number) if number.isdigit() else None


if __name__ == "__main__":
    sys.exit(cli.main(status, sys.argv[1:], "python -m slurm.status", "nothing was changed"))
