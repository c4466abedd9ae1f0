"""Several metrics of one task, metrics other than accuracy, and metrics where lower is better."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from data_prep.base.errors import InputError
from tests.trainer.report.synthetic_runs import EXAMPLES, draw, make_runs, render, row
from trainer.metrics import METRICS
from trainer.report.data.collect import lay_out, missing_cells
from trainer.report.data.compare import compare
from trainer.report.data.runs import read_runs
from trainer.report.write import write_report
from trainer.results.outcomes import outcomes_path, write_outcomes
from trainer.results.scores import RESULTS_FILE, merge_rows, read_rows


def with_f1(paths: list[Path]) -> list[Path]:
    """Add rows of macro F1 to the standard rows of runs, from made-up binary labels that fit the outcomes."""
    gold = np.arange(EXAMPLES) % 4 == 0
    for path in paths:
        rows = path / "eval" / RESULTS_FILE
        for r in read_rows(rows):
            if r.setting == "standard" and r.selection == "best":
                right = draw(r.label, r.seed, r.language, r.language)
                counts = METRICS["f1"].counts(np.where(right, gold, ~gold).astype(int), gold.astype(int))
                name = outcomes_path("xnli", "test", r.language, metric="f1")
                write_outcomes(path / "eval" / name, [f"{i:04}" for i in range(EXAMPLES)], counts)
                merge_rows(rows, [r.model_copy(update={
                    "metric": "f1", "value": METRICS["f1"].score(counts), "outcomes": name, "chance": None})])
    return paths


def test_several_metrics_of_one_task(tmp_path: Path) -> None:
    """Each metric has a section, its own differences with intervals, and tags; predictions are the same."""
    paths = with_f1(make_runs(tmp_path / "runs", labels=("plain", "pgd"), languages=("en", "de"), generalized=False,
                              oracle=False))
    accuracy, f1 = lay_out(read_runs(paths))
    assert [section.title for section in (accuracy, f1)] == ["xnli / test / accuracy", "xnli / test / f1"]
    gold = np.arange(EXAMPLES) % 4 == 0
    (interval,) = (i for c, i in zip(compare(f1.standard)[0].cells, compare(f1.standard)[0].intervals, strict=True)
                   if c == ("de", "de"))

    def macro_f1(right: np.ndarray) -> float:
        predicted = np.where(right, gold, ~gold)
        return float(np.mean([2 * (predicted & gold).sum() / (predicted.sum() + gold.sum()),
                              2 * (~predicted & ~gold).sum() / ((~predicted).sum() + (~gold).sum())]))

    seeds = [[draw(label, seed, "de", "de") for seed in (1, 2, 3)] for label in ("plain", "pgd")]
    assert interval.estimate == pytest.approx(
        np.mean([macro_f1(other) - macro_f1(base) for base, other in zip(*seeds, strict=True)]))
    # Width of one pair of runs against the bootstrap over examples.
    one = compare(lay_out(read_runs([paths[0], paths[3]]))[1].standard)[0]
    low, high = one.intervals[one.cells.index(("de", "de"))].low, one.intervals[one.cells.index(("de", "de"))].high
    drawn = np.random.default_rng(0).integers(0, EXAMPLES, size=(2000, EXAMPLES))
    base, other = (METRICS["f1"].counts(np.where(s[0], gold, ~gold).astype(int), gold.astype(int)) for s in seeds)
    resampled = [METRICS["f1"].score(other[i]) - METRICS["f1"].score(base[i]) for i in drawn]
    assert high - low == pytest.approx(2 * 1.96 * np.std(resampled), rel=0.15)
    text = render(paths)
    assert "## xnli / test / f1" in text
    assert "**xnli / test: f1 (%) by language**" in text
    assert "- xnli / test / f1: pgd changes the mean over 2 languages by" in text
    assert "- Macro-averaged F1: unweighted mean over classes" in text
    summary = write_report(paths, tmp_path / "out")
    assert [table.title for table in summary.tables] == [
        "xnli / test: accuracy (%) by language", "xnli / test: f1 (%) by language"]
    assert summary.tensorboard is not None
    whole, run = (EventAccumulator(str(place)).Reload()
                  for place in (summary.tensorboard, summary.tensorboard / "pgd-s1"))
    assert set(run.Tags()["scalars"]) == {f"scores/xnli test {metric}, mean, {mean}" for metric in ("accuracy", "f1")
                                          for mean in ("all 2", "1 non-en")}
    assert "xnli test f1/Differences to plain per language with intervals" in whole.Tags()["images"]


def test_a_metric_that_one_run_lacks_is_missing(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain", "pgd"), seeds=(1,), languages=("en",), generalized=False, oracle=False)
    with_f1(paths[:1])
    assert [(m.run.name, m.metric, m.cell_name) for m in missing_cells(read_runs(paths))] == [("pgd-s1", "f1", "en")]


def test_where_lower_is_better_a_rise_is_a_loss(tmp_path: Path) -> None:
    """Perplexity from per-example sums: intervals of the same code, the direction from the metric."""
    rng = np.random.default_rng(0)
    hard = rng.normal(2.0, 0.3, size=EXAMPLES)
    paths = []
    for label, shift in (("plain", 0.0), ("worse", 0.2), ("better", -0.2)):
        for seed in (1, 2, 3):
            nats = np.abs(hard + shift + rng.normal(0, 0.05, size=EXAMPLES))
            counts = METRICS["perplexity"].counts(nats, np.ones(EXAMPLES))
            path = tmp_path / f"{label}-s{seed}"
            name = outcomes_path("text", "test", "en")
            write_outcomes(path / "eval" / name, range(EXAMPLES), counts, largest=np.inf)
            merge_rows(path / "eval" / RESULTS_FILE, [row(
                label, seed, "en", task="text", kind="mlm", metric="perplexity", chance=None, outcomes=name,
                value=METRICS["perplexity"].score(counts))])
            paths.append(path)
    text = render(paths)
    lines = [line for line in text.splitlines() if line.startswith("| mean, all 1 |")]
    assert [("**loss**" in line, "**gain**" in line) for line in lines] == [(True, False), (False, True)]
    assert "worse changes en by +" in text
    assert re.search(r"worse changes en by [^:]*: a loss over", text)
    assert re.search(r"better changes en by [^:]*: a gain over", text)


def test_counts_that_are_not_those_of_the_metric(tmp_path: Path) -> None:
    paths = with_f1(make_runs(tmp_path, labels=("plain", "pgd"), seeds=(1,), languages=("en",), generalized=False,
                              oracle=False))
    for path in paths:
        write_outcomes(path / "eval" / outcomes_path("xnli", "test", "en", metric="f1"),
                       [f"{i:04}" for i in range(EXAMPLES)], np.ones((EXAMPLES, 2)))
    with pytest.raises(InputError, match=r"no counts of f1 .*; evaluate the run again"):
        compare(lay_out(read_runs(paths))[1].standard)
