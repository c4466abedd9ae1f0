"""Chance and failed seeds in a report: marks, lines, and means without and with the seeds that failed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.trainer.report.sections.test_recipes import change, document
from tests.trainer.report.synthetic_runs import CHANCE, draw, make_runs, row
from trainer.plots.figures import Curve, Spot, curves, distance_scatter, limits
from trainer.report.data.collect import lay_out
from trainer.report.data.compare import compare
from trainer.report.data.grid import Grid
from trainer.report.data.runs import read_runs
from trainer.report.sections.figures import metric_by_language
from trainer.report.sections.heat_maps import heat_map, value_range
from trainer.results.scores import RESULTS_FILE, chance_limit, is_at_chance, merge_rows


def grid_of(paths: list[Path]) -> Grid:
    return lay_out(read_runs(paths))[0].standard


def test_chance_is_the_majority_share_and_its_sampling_error() -> None:
    assert is_at_chance(0.5, 0.5, 100)
    assert is_at_chance(0.33, CHANCE, 2490)
    assert is_at_chance(CHANCE + 0.015, CHANCE, 2490)  # 1.645 standard errors are 0.0155
    assert not is_at_chance(CHANCE + 0.016, CHANCE, 2490)
    assert not is_at_chance(CHANCE + 0.001, CHANCE, 0)  # of unknown size: any gain counts
    assert not row("plain", 1, "en", value=0.3, chance=None).at_chance


def test_the_best_of_several_guesses_is_at_chance_too() -> None:
    """Of ten guessers on 2,490 examples, the best is beyond 1.645 standard errors in 40 % of runs."""
    assert chance_limit(CHANCE, 2490, 10) == pytest.approx(CHANCE + 2.5758 * 0.009447, abs=1e-6)
    best = np.random.default_rng(3).binomial(2490, CHANCE, size=(4000, 10)).max(axis=1) / 2490
    missed = [np.mean([not is_at_chance(value, CHANCE, 2490, count) for value in best]) for count in (1, 10)]
    assert missed[0] > 0.3
    assert missed[1] < 0.06
    on = {"value": CHANCE + 0.02, "n": 2490, "chosen_on": "xnli/dev/en"}
    assert not row("plain", 1, "en", split="test", **on).at_chance
    assert row("plain", 1, "en", split="dev", **on).at_chance  # its settings name ten evaluations
    assert not row("plain", 1, "de", split="dev", **on).at_chance


def at_chance(tmp_path: Path) -> list[Path]:
    """Two seeds of plain; seed 2 is at chance in Swahili and in German."""
    paths = []
    for seed, values in ((1, (0.9, 0.8, 0.7)), (2, (0.9, 0.34, 0.3))):
        path = tmp_path / f"plain-s{seed}"
        merge_rows(path / "eval" / RESULTS_FILE, [
            row("plain", seed, lang, value=value, outcomes=None)
            for lang, value in zip(("en", "de", "sw"), values, strict=True)])
        paths.append(path)
    return paths


def test_what_is_at_chance_is_marked_in_tables(tmp_path: Path) -> None:
    text = document(at_chance(tmp_path))
    assert "| plain | 2 | 65.7 ± 20.3 | 53.5 ± 30.4† |" not in text
    assert "| plain | 2 | 65.7 ± 20.3 | 53.5† ± 30.4 | 90.0 ± 0.0 | 57.0† ± 32.5 | 50.0† ± 28.3 |" in text
    assert "†: at least one seed is at chance, no better than always naming the most frequent class (33.3 here)" in text
    gap = text.split("**Transfer gap to English**")[1].split("\n\n#")[0]
    assert "| plain | +36.5† ± 30.4 | +33.0† ± 32.5 | +40.0† ± 28.3 |" in gap
    assert "in a language at chance a gap says nothing of transfer" in gap


def test_a_mean_at_chance_is_marked_whatever_its_cells(tmp_path: Path) -> None:
    """Guessing gives about one cell in twenty above its own limit, and so, cell by cell, few means of fifteen."""
    limit = CHANCE + 1.6449 * np.sqrt(CHANCE * (1 - CHANCE) / 600)
    for name, values in (("guess", (CHANCE, CHANCE - 0.01, limit + 0.002)), ("able", (0.9, CHANCE, CHANCE - 0.01))):
        merge_rows(tmp_path / name / "eval" / RESULTS_FILE, [
            row(name, 1, lang, value=value, outcomes=None)
            for lang, value in zip(("en", "de", "sw"), values, strict=True)])
    grid = grid_of([tmp_path / "guess", tmp_path / "able"])
    cells = [("en", "en"), ("de", "de"), ("sw", "sw")]
    assert (grid.at_chance("guess", cells), grid.at_chance("guess", cells[2:])) == ([1], [])
    assert (grid.at_chance("able", cells), grid.at_chance("able", cells[1:])) == ([], [1])
    assert grid.at_chance("guess", []) == []
    text = document([tmp_path / "guess", tmp_path / "able"])
    assert "| guess | one seed | 34.1† | **34.5†** | 33.3† | 32.3† | **36.7** |" in text
    assert "a mean over cells is held against the mean of their levels, with what is allowed to a single cell" in text


def test_nothing_at_chance_nothing_marked(tmp_path: Path) -> None:
    assert "†" not in document(make_runs(tmp_path, labels=("plain", "pgd"), languages=("en", "de")))


def test_chance_is_drawn(tmp_path: Path) -> None:
    grid = grid_of(at_chance(tmp_path))
    (lines,) = (c for c in metric_by_language(grid).axes[0].collections if c.get_label() == "chance")
    assert [segment[0][1] for segment in lines.get_segments()] == pytest.approx([100 / 3] * 3)
    scatter = distance_scatter("plain", 0, [Spot("de", 0.4, 0.8)], None, limits([Spot("de", 0.4, 0.8)], CHANCE), None,
                               CHANCE)
    panel = curves({"English": [Curve("plain", 0, [0.1, 0.2], [0.9, 0.5], [0.0, 0.0])]}, "noise", CHANCE)
    for figure in (scatter, panel):
        assert any(np.allclose(line.get_ydata(), 100 * CHANCE) for line in figure.axes[0].lines)
    assert scatter.axes[0].get_ylim()[0] < 100 * CHANCE
    drawn = {text.get_text() for text in heat_map(grid, "plain", value_range(grid)).axes[0].texts}
    assert {"90.0", "57.0†", "50.0†"} <= drawn


def test_a_failed_seed_is_in_no_mean_and_named(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain", "pgd"), languages=("en", "de"), generalized=False, oracle=False)
    change(paths[1], lambda _: {"ended": "collapsed"})
    grid = grid_of(paths)
    assert (grid.seeds("plain"), grid.failed_seeds("plain"), grid.failed_seeds("pgd")) == ([1, 3], [2], [])
    per_seed = [100 * np.mean([draw("plain", seed, lang, lang).mean() for lang in ("en", "de")]) for seed in (1, 3, 2)]
    text = document(paths)
    assert f"| plain | 2 1 failed | {np.mean(per_seed[:2]):.1f} ± {np.std(per_seed[:2], ddof=1):.1f} |" in text
    mean = f"{np.mean(per_seed):.1f} (3 runs)"
    assert f"Failed, so in no mean: plain seed 2; with it the mean of plain over 2 is {mean}." in text
    assert "- plain: 1 of 3 runs failed: plain-s2 (seed 2, collapsed). Means, intervals and figures are over the " \
           "runs that trained." in text
    assert "| plain-s2 | plain | plain | 2 | **collapsed** | en |" in text
    assert compare(grid)[0].seeds == [1, 3]


def test_a_label_whose_seeds_all_failed(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain", "pgd"), seeds=(1, 2), languages=("en", "de"), generalized=False,
                      oracle=False)
    for path in paths[2:]:
        change(path, lambda _: {"ended": "diverged"})
    text = document(paths)
    assert "- pgd: 2 of 2 runs failed: pgd-s1 (seed 1, diverged) and pgd-s2 (seed 2, diverged)." in text
    assert "Failed, so in no mean: pgd seed 1 and seed 2; with them the mean of pgd over 2 is" in text
    for path in paths[:2]:
        change(path, lambda _: {"ended": "collapsed"})
    assert "No run of this task trained: every one is a failed seed." in document(paths)
