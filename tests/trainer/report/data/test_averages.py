"""Averages in a report: labels of their own, compared with the plain best checkpoints of the same seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.trainer.report.synthetic_runs import digest, make_runs, render, row, settings
from trainer.report.data.compute import compute
from trainer.report.data.runs import read_runs
from trainer.results.outcomes import outcomes_path, read_outcomes, write_outcomes
from trainer.results.scores import RESULTS_FILE, merge_rows, read_rows

AVERAGED = "plain (average of last 3)"


def with_averages(root: Path) -> list[Path]:
    """Plain runs with averages, whose outcomes are those of the best checkpoint but for the first ten rows."""
    paths = make_runs(root, labels=("plain", "pgd"), languages=("en", "de"), generalized=False)
    for path in paths[:3]:
        best = [one for one in read_rows(path / "eval" / RESULTS_FILE) if one.selection == "best"]
        for one in best:
            found = read_outcomes(path / "eval" / str(one.outcomes))
            counts = found.counts.copy()
            counts[:10] = 1 - counts[:10]
            write_outcomes(path / "eval/average" / str(one.outcomes), found.keys, counts)
        merge_rows(path / "eval" / RESULTS_FILE, [row(
            "plain", one.seed, one.language, cell_sha256=one.cell_sha256, outcomes=f"average/{one.outcomes}",
            value=_mean(path / "eval/average" / str(one.outcomes)), selection="average", chosen_on="",
            checkpoint=digest(f"average {one.seed}"), settings=settings("plain", **{"average.last": 3}))
            for one in best])
    return paths


def _mean(path: Path) -> float:
    return float(read_outcomes(path).counts.mean())


def test_averages_are_compared_with_the_best_checkpoints_of_their_seeds(tmp_path: Path) -> None:
    paths = with_averages(tmp_path)
    runs = read_runs(paths)
    assert [(run.label, run.seed) for run in runs[:4]] == [
        ("plain", 1), (AVERAGED, 1), ("plain", 2), (AVERAGED, 2)]
    section = compute(runs).sections[0]
    assert section.standard.labels == ["plain", AVERAGED, "pgd"]
    found = {comparison.other: comparison for comparison in section.comparisons}
    assert {comparison.base for comparison in found.values()} == {"plain"}
    assert (found[AVERAGED].seeds, found[AVERAGED].unpaired, found[AVERAGED].dependent) == ([1, 2, 3], [], "")
    change = {language: [_mean(path / "eval/average" / outcomes_path("xnli", "test", language))
                         - _mean(path / "eval" / outcomes_path("xnli", "test", language)) for path in paths[:3]]
              for language in ("en", "de")}
    for cell, interval in zip(found[AVERAGED].cells, found[AVERAGED].intervals, strict=True):
        assert interval.estimate == pytest.approx(np.mean(change[cell[0]]))


def test_a_report_says_that_rows_are_of_averages(tmp_path: Path) -> None:
    """An average has no oracle among its checkpoints, so none of its cells is missing."""
    runs = read_runs(with_averages(tmp_path))
    assert compute(runs).missing == []
    lines = [line for line in render(with_averages(tmp_path)).splitlines() if AVERAGED in line]
    assert sum("mean of the last 3 snapshots" in line for line in lines) >= 3
    assert any(line.startswith(f"| {AVERAGED} |") for line in lines)
