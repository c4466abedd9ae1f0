"""The sentence on top of a report: with labels of any words, and where compared runs are at chance or failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.trainer.report.sections.test_recipes import change
from tests.trainer.report.synthetic_runs import CHANCE, EXAMPLES, make_runs, standard_grid
from trainer.report.build import build
from trainer.report.data.compare import Comparison, compare
from trainer.report.data.compute import compute
from trainer.report.data.grid import Grid
from trainer.report.data.runs import read_runs
from trainer.report.document import Table
from trainer.report.sections.answer import headline, sentences
from trainer.results.outcomes import outcomes_path, write_outcomes
from trainer.results.scores import RESULTS_FILE, merge_rows, read_rows

LANGUAGES = ("en", "de")


def collapsed(paths: list[Path]) -> None:
    """Make `paths` score as if they named one class, without a word of it in the record of the run."""
    right = [i < CHANCE * EXAMPLES for i in range(EXAMPLES)]
    for path in paths:
        rows = [row.model_copy(update={"value": CHANCE}) for row in read_rows(path / "eval" / RESULTS_FILE)]
        merge_rows(path / "eval" / RESULTS_FILE, rows)
        for language in LANGUAGES:
            name = path / "eval" / outcomes_path("xnli", "test", language)
            write_outcomes(name, [f"{i:04}" for i in range(EXAMPLES)], right)


def runs(root: Path, labels: tuple[str, ...] = ("plain", "random_noise", "pgd")) -> list[Path]:
    return make_runs(root, labels=labels, languages=LANGUAGES, generalized=False, oracle=False)


def verdicts(table: Table) -> dict[str, str]:
    return {row[0].text: row[4].text for row in table.rows}


def test_runs_at_chance_are_the_answer(tmp_path: Path) -> None:
    """They once were a comparison like any other: "No difference to plain can be claimed"."""
    paths = runs(tmp_path)
    collapsed(paths[:3] + paths[6:8])
    made = build(compute(read_runs(paths)))
    assert made.answer == ("Nothing can be compared in the mean accuracy over 2 languages (xnli / test). At chance: "
                           "plain (3 of 3 seeds) and pgd (2 of 3 seeds).")
    assert made.details[0].startswith("A run at chance is no better than always naming the most frequent class")
    assert isinstance(made.top[0], Table)
    assert verdicts(made.top[0]) == {"plain": "–", "random_noise": "at chance", "pgd": "at chance"}
    assert all(line.count("nothing is claimed of the difference") == 1 for line in made.findings)


def test_a_label_at_chance_leaves_the_others_compared(tmp_path: Path) -> None:
    paths = runs(tmp_path)
    collapsed(paths[3:4])
    made = build(compute(read_runs(paths)))
    assert made.answer.startswith("pgd (+")
    assert made.answer.endswith(" points) gains in the mean accuracy over 2 languages (xnli / test) compared with "
                                "plain, with 3 seeds. At chance, so not compared: random_noise (1 of 3 seeds).")


@pytest.mark.parametrize(("ended", "answer"), [
    (range(9), "Failed with every seed, so not compared: plain (3 seeds, collapsed), random_noise (3 seeds, collapsed) "
               "and pgd (3 seeds, collapsed)."),
    (range(3, 9), "xnli / test, plain: 88.0 % in en and 83.4 % on average over 1 other language, a gap of 4.6 points. "
                  "Failed with every seed, so not compared: random_noise (3 seeds, collapsed) and pgd (3 seeds, "
                  "collapsed)."),
], ids=["all", "all but plain"])
def test_failed_labels_are_in_the_answer(tmp_path: Path, ended: range, answer: str) -> None:
    paths = runs(tmp_path)
    for number in ended:
        change(paths[number], lambda _: {"ended": "collapsed"})
    assert build(compute(read_runs(paths))).answer == answer


def test_the_level_of_a_run_at_chance(tmp_path: Path) -> None:
    paths = runs(tmp_path, ("plain",))
    collapsed(paths)
    assert build(compute(read_runs(paths))).answer.endswith("a gap of 0.0 points; at chance with 3 of 3 seeds.")


def named(grid: Grid, base: str, other: str) -> tuple[Grid, list[Comparison]]:
    """`grid` of plain and pgd, and its comparison, under other labels."""
    names = {"plain": base, "pgd": other}
    entries = {(names[label], seed, cell): entry for (label, seed, cell), entry in grid.entries.items()}
    positions = {names[label]: place for label, place in grid.positions.items()}
    renamed = replace(grid, entries=entries, positions=positions, colours={})
    return renamed, [replace(c, base=base, other=other) for c in compare(grid)]


@pytest.mark.parametrize(("base", "other"), [
    ("plain", "pgd"), ("no intermediate task", "English and translations"), ("none", "MNLI, SST-2")])
def test_labels_of_any_words(tmp_path: Path, base: str, other: str) -> None:
    """A base level such as "no intermediate task" once made "No difference to no intermediate task"."""
    grid, found = named(standard_grid(runs(tmp_path, ("plain", "pgd"))), base, other)
    where = "the mean accuracy over 2 languages (xnli / test)"
    size = f"+{100 * found[0].main[1].estimate:.1f} points"
    claimed = headline(grid, "xnli / test", found)
    assert claimed == f"{other} ({size}) gains in {where} compared with {base}, with 3 seeds."
    unclaimed = [replace(c, means={name: (cells, replace(interval, adjusted=1.0))
                                   for name, (cells, interval) in c.means.items()}) for c in found]
    assert headline(grid, "xnli / test", unclaimed) == (
        f"No difference can be claimed in {where} compared with {base}, with 3 seeds.")
    assert sentences(grid, "xnli / test", unclaimed)[0].startswith(
        f"No difference can be claimed with 3 seeds: {other} changes {where} by {size} compared with {base}, 95 % ")
