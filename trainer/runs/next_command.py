"""The next command of a run, ready to paste: train, then evaluate, then report."""

from __future__ import annotations

import shlex
from pathlib import Path

from data_prep.shards.columns import holds_gold
from data_prep.shards.manifest import read_manifest
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
    tasks, splits = _tasks_and_splits(record, shards)
    return _evaluation(run, tasks, splits)


def without_scores(run: Path, record: RunRecord | None, shards: Path) -> str:
    """One line on the cells without labels that `evaluate_command` predicts on; empty where it scores all.

    Suites have such cells on purpose: their predictions are submitted.
    """
    if record is None or record.suite is not None:
        return ""
    tasks, splits = _tasks_and_splits(record, shards)
    manifests = [read_manifest(cell) for task in tasks for split in splits for cell in find_cells(shards, task, split)]
    bare: dict[str, list[str]] = {}
    for one in manifests:
        if holds_gold(one.columns) and not one.has_labels:
            bare.setdefault(f"{one.task}/{one.split}", []).append(one.language)
    if not bare:
        return ""
    cells = "; ".join(f"{name} has no labels in {', '.join(languages)}" for name, languages in bare.items())
    dev = [split for split in dict.fromkeys(name.split("/")[1] for name in record.dev_cells) if split not in splits]
    instead = f"; for scores on {', '.join(dev)}: {_evaluation(run, tasks, dev)}" if dev else ""
    return f"{cells}: an evaluation writes predictions there, and no scores{instead}"


def _tasks_and_splits(record: RunRecord, shards: Path) -> tuple[list[str], list[str]]:
    """The tasks of a run's dev, else training cells, and the splits to evaluate: test, where that is built."""
    splits: dict[str, dict[str, None]] = {}  # by task, in order
    for name in record.dev_cells:
        task, split, _ = name.split("/")
        splits.setdefault(task, {})[split] = None
    for cell in () if splits else record.train_cells:
        task, split = Path(cell).parts[-3:-1]
        splits.setdefault(task.partition("+")[0], {})[split] = None
    tested = [task for task in splits if find_cells(shards, task, TEST)]
    tasks = tested or list(splits)
    return tasks, [TEST] if tested else list(dict.fromkeys(split for task in tasks for split in splits[task]))


def _evaluation(run: Path, tasks: list[str], splits: list[str]) -> str:
    return _command("evaluate", run, "--tasks", ",".join(tasks),
                    *(["--splits", ",".join(splits)] if splits != [TEST] else []))


def report_command(run: Path) -> str:
    """Report on an evaluated run, and on those beside it if there are any."""
    beside = [path for path in run.absolute().parent.iterdir() if is_evaluated(path)]
    return _command("report", run.parent if len(beside) > 1 else run)


def compare_command(first: Path, second: Path) -> str:
    """Report on two runs."""
    return _command("report", first, second)


def _command(name: str, *words: str | Path) -> str:
    return f"python -m trainer {name} {shlex.join(map(str, words))}"
