"""The next command of a run, ready to paste: train, then evaluate, then report."""

from __future__ import annotations

import shlex
from pathlib import Path

from data_prep.shards.read import find_cells
from trainer.results.below import is_evaluated
from trainer.runs.record import RunRecord

TEST = "test"


def evaluate_command(run: Path, record: RunRecord, shards: Path) -> str:
    """Evaluation of a finished run on its recipe's suite, else on the tasks of its dev, else training cells.

    Of tasks, on the test cells in `shards`; on the splits of the dev cells where no test cell is built.
    """
    if record.suite is not None:
        return _command("evaluate", run, "--suite", record.suite)
    splits: dict[str, dict[str, None]] = {}  # by task, in order
    for name in record.dev_cells:
        task, split, _ = name.split("/")
        splits.setdefault(task, {})[split] = None
    for cell in () if splits else record.train_cells:
        task, split = Path(cell).parts[-3:-1]
        splits.setdefault(task.partition("+")[0], {})[split] = None
    tested = [task for task in splits if find_cells(shards, task, TEST)]
    tasks = tested or list(splits)
    words = ["--tasks", ",".join(tasks)]
    if not tested:
        words += ["--splits", ",".join(dict.fromkeys(split for task in tasks for split in splits[task]))]
    return _command("evaluate", run, *words)


def report_command(run: Path) -> str:
    """Report on an evaluated run, and on those beside it if there are any."""
    beside = [path for path in run.absolute().parent.iterdir() if is_evaluated(path)]
    return _command("report", run.parent if len(beside) > 1 else run)


def compare_command(first: Path, second: Path) -> str:
    """Report on two runs."""
    return _command("report", first, second)


def _command(name: str, *words: str | Path) -> str:
    return f"python -m trainer {name} {shlex.join(map(str, words))}"
