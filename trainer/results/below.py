"""Search for runs in a folder of runs."""

from __future__ import annotations

import os
from pathlib import Path

from trainer.results.scores import RESULTS_FILE

CONFIG = "config.yaml"  # of a run
EVAL = "eval"


def is_run(folder: Path) -> bool:
    """True for a run's folder, or for the results of one alone."""
    return (folder / CONFIG).is_file() or is_evaluated(folder)


def is_evaluated(run: Path) -> bool:
    """True if the run has result rows."""
    return (run / EVAL / RESULTS_FILE).is_file()


def runs_below(folder: Path) -> list[Path]:
    """Runs in `folder` at any depth, by path; `folder` itself if it is one.

    Hidden folders and links to folders are passed over, as is the inside of runs.
    """
    if is_run(folder):
        return [folder]
    found: list[Path] = []
    for place, names, _ in os.walk(folder):
        inner = sorted(name for name in names if not name.startswith("."))
        runs = [name for name in inner if is_run(Path(place, name)) and not Path(place, name).is_symlink()]
        found += [Path(place, name) for name in runs]
        names[:] = [name for name in inner if name not in runs]
    return sorted(found)
