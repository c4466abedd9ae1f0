"""`python -m trainer runs [list|compare A B]`: runs, how far they are, and how two of them differ.

Reads files of the runs alone: no torch, no cluster.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from data_prep.base.errors import InputError
from trainer.results.below import is_evaluated, is_run, runs_below
from trainer.runs.compare import content_differences, mean_scores, recipe_differences, rows_of, score_tables
from trainer.runs.folder import DONE
from trainer.runs.next_command import compare_command, evaluate_command, report_command
from trainer.runs.record import read_record
from trainer.runs.shards import shards_of
from trainer.runs.standing import standing
from trainer.runs.table import show_table

RUNS = "runs"


def list_runs(*folders: str) -> int:
    """List the runs below FOLDERS (default: runs): state, step, score on dev and mean scores.

    A mean score is over the languages that were evaluated, their number in brackets.
    """
    runs: list[Path] = []
    for folder in folders or (RUNS,):
        if folders and not Path(folder).is_dir():
            raise InputError(f"{folder}: no such folder; expected one that holds runs")
        runs += runs_below(Path(folder))
    if not runs:
        print(f"no runs below {' and '.join(folders or (RUNS,))}; train one: python -m trainer train RECIPE")
        return 0
    records, stands = [read_record(run) for run in runs], [standing(run) for run in runs]
    scores = [", ".join(mean_scores(rows_of(run))) for run in runs]
    show_table([
        ("run", list(map(str, runs))), ("label", [record.label if record else "" for record in records]),
        ("seed", [str(record.seed) if record else "" for record in records]),
        ("state", [stand.state for stand in stands]), ("step", [stand.step for stand in stands]),
        ("time left", [stand.eta for stand in stands]), ("on dev", [stand.dev for stand in stands]),
        ("evaluated: mean (languages)", scores)], right=("seed", "step", "time left"))
    if (command := _next(runs)) is not None:
        print(f"next: {command}")
    return 0


def _next(runs: list[Path]) -> str | None:
    """Evaluation of the latest run that is done without, if of a task of the evaluated ones; else their report."""
    records = {run: record for run in runs if (record := read_record(run)) is not None}
    evaluated = [run for run in runs if is_evaluated(run)]
    tasks = {records[run].task for run in evaluated if run in records}
    todo = [run for run, record in records.items() if (run / DONE).is_file() and run not in evaluated
            and (not evaluated or record.task in tasks)]
    if todo:
        run = max(todo, key=lambda run: records[run].started)
        return evaluate_command(run, records[run], shards_of(run, records[run]))
    return report_command(evaluated[0]) if evaluated else None


def compare(first: str, second: str) -> int:
    """Compare the runs A and B: keys of the recipe that differ, state, and scores side by side.

    A run is a folder, or a name in runs/. Scores are single values: `report` has the intervals.
    """
    runs = [_found(first), _found(second)]
    names = [run.name for run in runs] if runs[0].name != runs[1].name else [str(run) for run in runs]
    for title, found in (("recipe", recipe_differences(*runs)), ("beyond the recipe", _content(runs))):
        if found:
            show_table([(title, [key for key, *_ in found]), (names[0], [a for _, a, _ in found]),
                        (names[1], [b for *_, b in found])])
        else:
            print(f"{title}: no difference")
    stands = [standing(run) for run in runs]
    show_table([("run", names), ("state", [stand.state for stand in stands]),
                ("step", [stand.step for stand in stands]), ("on dev", [stand.dev for stand in stands])],
               right=("step",))
    rows = [rows_of(run) for run in runs]
    for table in score_tables(*rows):
        show_table([("language", table.languages), (names[0], table.first), (names[1], table.second),
                    ("difference", table.differences)], right=(*names, "difference"), title=table.title)
    for run, found_rows in zip(runs, rows, strict=True):
        record = read_record(run)
        if not found_rows and record is not None:
            print(f"{run} is not evaluated\nnext: {evaluate_command(run, record, shards_of(run, record))}")
            return 0
    print(f"next: {compare_command(*runs)}   (intervals, and what can be said)")
    return 0


def _content(runs: list[Path]) -> list[tuple[str, str, str]]:
    first, second = (read_record(run) for run in runs)
    return content_differences(first, second) if first is not None and second is not None else []


def _found(name: str) -> Path:
    """The run `name`: a folder, or the name of one in runs/. Raises InputError."""
    for place in (Path(name), Path(RUNS) / name):
        if is_run(place):
            return place
    known = [path.name for path in runs_below(Path(RUNS))] if Path(RUNS).is_dir() else []
    close = difflib.get_close_matches(Path(name).name, known, n=1)
    raise InputError(f"{name} is no run{f' (did you mean {close[0]!r}?)' if close else ''}; expected a run's folder, "
                     f"or the name of one in {RUNS}/; python -m trainer runs lists them")
