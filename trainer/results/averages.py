"""Settings that an average of weights adds to those of its runs, and the words for them in labels."""

from __future__ import annotations

from trainer.results.scores import Settings

LAST, RUNS = "average.last", "average.runs"  # settings: number of snapshots averaged of each run, of runs averaged


def words_of(settings: Settings) -> str:
    """What an average adds to the label of its runs, by its settings; empty without one."""
    found = [f"average of last {settings[LAST]}"] if settings.get(LAST) else []
    return ", ".join([*found, f"mean of {settings[RUNS]} runs"] if settings.get(RUNS) else found)


def label_with(label: str, settings: Settings) -> str:
    """`label` of runs and the words of an average of them."""
    return f"{label} ({words_of(settings)})"
