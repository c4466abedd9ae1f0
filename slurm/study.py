"""`python -m trainer study submit STUDY`: a SLURM job per node of a study, and its report as the last job.

A job starts once those of the nodes that its node needs have succeeded. Input: a study, options of sbatch. Output: the
jobs; their records below `<study>/runs/` (`slurm.submission`), so that `python -m slurm.status --runs <study>/runs`
shows them; and one snapshot of the code for all of them.

``python -m slurm.study FOLDER``, run by the job of a training that collapsed (`study.sbatch`), submits the training of
its next seed and what needs it. SLURM has no dependency for this: `afternotok` is also met by a job that crashed, and
all that needs a training would have to be queued once for each seed that may be tried.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.base.cli import EXIT_BAD_INPUT
from data_prep.base.errors import InputError
from data_prep.base.files import read_json, remove_unfinished, write_json, write_text
from data_prep.base.lock import held
from slurm import scheduler
from slurm import submission as record
from slurm.jobs import Work
from slurm.render import render
from slurm.submit import Link, hand_in, sbatch_options
from trainer.results.numbers import counted
from trainer.studies.commands import open_study
from trainer.studies.contents import Contents
from trainer.studies.expand import build_graph
from trainer.studies.graph import RUNS, Graph, Node
from trainer.studies.load import dump
from trainer.studies.states import LOGS, STUDY, begin, blocked, collapsed_digests, endings, read_graph, write_graph

KIND, REPORT, TRAIN = "study", "report", "train"
SINGLE_HOURS = "04:00:00"
FLAGS = "submit.json"
"""File of a study's folder with the flags of its last submission."""
Options = Mapping[str, str | None]


def submit(study: str, *, size: str = "full", out: str | None = None, seeds: str | None = None,
           nodes: int | None = None, gpus: int | None = None, cpus: int | None = None, time: str | None = None,
           partition: str | None = None, account: str | None = None, options: str | None = None,
           lives: int | None = None, dry_run: bool = False, **parameters: str) -> int:
    """Submit a STUDY to SLURM: a job per node that is neither done nor queued, and its report as the last job.

    study, size, out, seeds and the study's parameters: as in `plan`, but the size is full. nodes, gpus (per node):
    of each training, one task per GPU; all other nodes take one GPU (none with --gpus 0), data preparation none. cpus:
    per task. time, partition, account, options (further ones of sbatch as one word), lives: as in
    `python -m slurm.submit`. dry_run: show a script of each kind, submit nothing.
    A node that fails or collapses cancels only what needs it. A training that collapsed is submitted with its next seed
    by its own job, where the study has retries; what failed is submitted again by the same command.
    """
    job: dict[str, Any] = {"nodes": nodes, "gpus": gpus, "cpus": cpus, "time": time, "partition": partition,
                           "account": account, "options": options, "lives": lives}
    chosen = sbatch_options(True, **job)
    path, loaded, folder = open_study(study, size, out, seeds, parameters)
    contents = Contents(folder)
    graph = build_graph(loaded, path.parent, folder, contents, collapsed_digests(folder))
    kinds = [next(node for node in graph.nodes.values() if node.kind == kind)
             for kind in dict.fromkeys(node.kind for node in graph.nodes.values())]
    scripts = [_link(folder, node.name, node, chosen, lives, []).script for node in kinds]
    if dry_run:
        return _show(scripts, graph)
    for script in scripts:
        scheduler.check(script)
    with held(folder, "study"):
        queued = _queued(folder)
        remove_unfinished(folder)
        begin(folder, graph)
        write_text(folder / STUDY, dump(loaded))
        write_json(folder / FLAGS, {"study": study, "size": size, "out": out, "seeds": seeds, "job": job,
                                    "parameters": parameters})
        contents.save()
        write_graph(folder, graph)
        _submit_all(folder, graph, queued, chosen, lives)
    return 0


def submit_retries(folder: Path) -> bool:
    """Submit the next seeds of trainings that have collapsed, and what needs them; False where there are none.

    Nodes that failed otherwise are left alone. Raises InputError where study or recipes have changed meanwhile.
    """
    with held(folder, "study", wait=True):  # two trainings may collapse at once
        flags: dict[str, Any] = read_json(folder / FLAGS)
        if not flags:
            raise InputError(f"{folder} holds no {FLAGS}; expected a study that was submitted")
        path, loaded, _ = open_study(*(flags[name] for name in ("study", "size", "out", "seeds", "parameters")))
        before, chosen = read_graph(folder), sbatch_options(True, **flags["job"])
        graph = build_graph(loaded, path.parent, folder, Contents(folder), collapsed_digests(folder))
        replaced = blocked(before, endings(folder, before.nodes.values()))
        if lost := [name for name in before.nodes if name not in graph.nodes and name not in replaced]:
            raise InputError(f"{path} or what it reads has changed since it was submitted: {lost[0]} is another node "
                             "now; give `python -m trainer study submit` again")
        if all(name in before.nodes for name in graph.nodes):
            return False
        write_graph(folder, graph)
        _submit_all(folder, graph, _queued(folder), chosen, flags["job"]["lives"])
    return True


def _submit_all(folder: Path, graph: Graph, queued: Mapping[str, str], chosen: Options, lives: int | None) -> None:
    """Submit what is neither done nor queued; jobs stay in the queue if a later one is refused."""
    ended = endings(folder, graph.nodes.values())
    stopped, code = blocked(graph, ended), record.shared_snapshot(folder)
    jobs: dict[str, str] = {}
    new = 0
    for node in graph.wanted:
        if node.name in queued:
            jobs[node.name] = queued[node.name]
        elif node.name not in ended and node.name not in stopped:
            after = [jobs[name] for name in node.needs if name in jobs]
            jobs[node.name] = _hand_in(folder, node.name, _link(folder, node.name, node, chosen, lives, after), code)
            new += 1
    if new or (REPORT not in queued and not (folder / REPORT).exists()):
        if REPORT in queued:  # it waits for other jobs
            scheduler.cancel([queued[REPORT]])
        _hand_in(folder, REPORT, _link(folder, REPORT, None, chosen, lives, list(jobs.values())), code)
    done = sum(ending.state == "done" for ending in ended.values())
    words = [f"{counted(new, 'node')} submitted", f"{len(jobs) - new} in the queue before", f"{done} done"]
    print(", ".join([*words, *([f"{len(stopped)} blocked by one that collapsed"] if stopped else [])]))
    print(f"see `python -m slurm.status --runs {os.path.relpath(folder / RUNS)}` and "
          f"`python -m trainer study status {os.path.relpath(folder)}`")


def _link(folder: Path, name: str, node: Node | None, chosen: Options, lives: int | None,
          after: Sequence[str]) -> Link:
    """The job of `node`, or of the report (None)."""
    run = node is not None and node.output.startswith(f"{RUNS}/")
    home = folder / "/".join(Path(node.output).parts[:2]) if node is not None and run else folder / RUNS
    if node is None:
        words, runs, options = ["trainer", "study", "report", str(folder)], [], _single(chosen, gpu=False)
    else:
        words, runs = ["trainer.studies.node", str(folder), name], [home] if node.kind == TRAIN else []
        options = dict(chosen) if node.kind == TRAIN else _single(chosen, gpu=node.words[0] == "trainer")
    place = record.next_folder(home, KIND)
    work = Work(KIND, name, home, words, runs=runs)
    return Link(work, place, render(work, options, place, lives), after, [KIND, str(folder), name],
                "afterok" if node is not None else "afterany")


def _single(chosen: Options, gpu: bool) -> dict[str, str | None]:
    """Options of a job with one task: those of trainings but for their size, and the signal, which only they hear."""
    gpus = "1" if gpu and chosen.get("gpus-per-node", "1") is not None else None
    return {"time": SINGLE_HOURS, **chosen, "nodes": "1", "ntasks-per-node": "1", "gpus-per-node": gpus, "signal": None}


def _hand_in(folder: Path, name: str, link: Link, code: Path) -> str:
    """Submit one job; the node's log becomes a link to the output of the job. Returns the job's id."""
    job = hand_in(link, (), code)
    log = folder / LOGS / f"{name}.log"
    log.parent.mkdir(exist_ok=True)
    log.unlink(missing_ok=True)
    log.symlink_to(os.path.relpath(link.folder / f"{job}.out", log.parent))
    return job


def _queued(folder: Path) -> dict[str, str]:
    """Ids of the study's jobs that wait or run, by node."""
    known = {found.job: found.name for _, found in record.read_all(folder / RUNS) if found.kind == KIND}
    queue = scheduler.queue() if known else {}
    return {known[job]: job for job, entry in queue.items() if job in known and not entry.ended}


def _show(scripts: Sequence[str], graph: Graph) -> int:
    """Print the scripts, and the number of jobs to stderr. Raises InputError if SLURM would refuse one."""
    for script in scripts:
        print(script, end="", flush=True)
    print(f"{counted(len(graph.nodes), 'node')}, a job each but for those that are done", file=sys.stderr)
    if not shutil.which("sbatch"):
        print("no sbatch here: not checked against a cluster", file=sys.stderr)
        return 0
    for script in scripts:
        print(scheduler.check(script), file=sys.stderr)
    return 0


if __name__ == "__main__":
    for variable in [name for name in os.environ if name.startswith("SLURM_") and name != "SLURM_CONF"]:
        del os.environ[variable]  # sbatch hands them on, and srun in the new job would take them for options
    try:
        if not submit_retries(Path(sys.argv[1])):
            print("no seed is left to try, or the study allows no retries")
    except InputError as error:
        print(f"error: no new seed is submitted: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
