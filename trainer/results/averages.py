"""Settings that an average of weights adds to those of its runs, and the words for them in labels."""

from __future__ import annotations

from trainer.results.scores import Settings

LAST, RUNS = "average.last", "average.runs"  # settings: number of snapshots averaged of each run, of runs averaged


def words_of(settings: Settings) -> str:
    """An average in words by its settings, e.g. "average of last 3"; empty without one."""
    found = [f"average of last {settings[LAST]}"] if settings.get(LAST) else []
    return ", ".join([*found, f"mean of {settings[RUNS]} runs"] if settings.get(RUNS) else found)


def label_with(label: str, settings: Settings) -> str:
    """Label of an average of runs with `label`, e.g. "plain (average of last 3)", "plain, mean of 2 runs"."""
    if settings.get(LAST):
        label = f"{label} (average of last {settings[LAST]})"
    return f"{label}, mean of {settings[RUNS]} runs" if settings.get(RUNS) else label
