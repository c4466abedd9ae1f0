"""Comparisons: pairing by seed and example, claims and their correction, dependent runs, files that do not fit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from data_prep.base.errors import InputError
from tests.trainer.report.synthetic_runs import LANGUAGES, draw, make_runs, render, row, standard_grid
from trainer.report.data.collect import lay_out
from trainer.report.data.compare import compare
from trainer.report.data.runs import read_runs
from trainer.report.write import write_report
from trainer.results.numbers import PERCENT
from trainer.results.outcomes import write_outcomes
from trainer.results.scores import RESULTS_FILE, merge_rows, read_rows


def test_comparison_is_paired_by_seed_and_example(tmp_path: Path) -> None:
    grid = standard_grid(make_runs(tmp_path, labels=("plain", "pgd"), generalized=False))
    comparison = compare(grid)[0]
    right = {(label, lang): [draw(label, seed, lang, lang).mean() for seed in (1, 2, 3)]
             for label in ("plain", "pgd") for lang in LANGUAGES}
    change = {lang: np.mean(right["pgd", lang]) - np.mean(right["plain", lang]) for lang in LANGUAGES}
    for cell, interval in zip(comparison.cells, comparison.intervals, strict=True):
        assert interval.estimate == pytest.approx(change[cell[0]])
        assert interval.low <= interval.estimate <= interval.high
    cells, mean = comparison.means["all 6"]
    assert len(cells) == 6
    assert mean.estimate == pytest.approx(np.mean(list(change.values())))
    assert comparison.unpaired == []


def test_a_run_without_a_partner_is_named(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain",), generalized=False, oracle=False)
    paths += make_runs(tmp_path, labels=("pgd",), seeds=(2, 3, 4), generalized=False, oracle=False)
    comparison = compare(standard_grid(paths))[0]
    assert comparison.seeds == [2, 3]
    assert comparison.unpaired == [("plain", 1), ("pgd", 4)]
    text = render(paths)
    assert "not in this comparison: plain seed 1 and pgd seed 4" in text


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_under_three_seeds_nothing_is_said_of_the_method(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    text = render(make_runs(tmp_path, labels=("plain", "pgd"), seeds=seeds, oracle=False))
    few = "1 seed" if len(seeds) == 1 else "2 seeds"
    assert f"nothing can be said of the method (with {few}, where at least 3 are needed)" in text
    for section in re.findall(r"## xnli / test.*?(?=## Missing)", text, flags=re.S):
        assert "no statement" in section
        assert not re.search(r"\b(gains?|loss|loses|reliabl[ey]|significant(ly)?|Power)\b", section)


def test_claims_and_power_with_enough_seeds(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, seeds=(1, 2, 3, 4, 5), generalized=False, oracle=False)
    text = render(paths)
    noise, pgd = compare(standard_grid(paths))
    assert (noise.main[1].claimed, pgd.main[1].claimed) == (False, True)
    assert "a gain over test examples and training runs (5 seeds)" in text
    assert noise.main[1].detectable is not None
    found = PERCENT.signed(noise.main[1].detectable)[1:]
    assert f"not significant (5 seeds like these find a true difference of about {found} points in 80 % of" in text
    assert f"find a true difference of {found} points of the first mean in 80 % of studies, corrected for 2" in text


def test_claims_are_corrected_over_labels(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, seeds=(1, 2, 3, 4), generalized=False, oracle=False)
    noise, pgd = compare(standard_grid(paths))
    alone = compare(standard_grid([path for path in paths if "noise" not in path.name]))[0]
    assert pgd.main[1].p == alone.main[1].p
    assert pgd.main[1].adjusted == pytest.approx(2 * alone.main[1].adjusted)
    smallest = min(i.p for c in (noise, pgd) for i in c.intervals)
    assert min(i.adjusted for c in (noise, pgd) for i in c.intervals) == pytest.approx(min(1, 12 * smallest))


def test_no_seed_in_common_means_no_interval(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain",), seeds=(1,), generalized=False, oracle=False)
    paths += make_runs(tmp_path, labels=("pgd",), seeds=(2,), generalized=False, oracle=False)
    text = render(paths)
    assert "there is no interval for accuracy" in text
    assert "### Against" not in text


def test_copies_of_a_run_do_not_differ(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain",), seeds=(1,), generalized=False, oracle=False)
    copy = tmp_path / "copy-s1"
    for source in (paths[0] / "eval").rglob("*.tsv"):
        target = copy / source.relative_to(paths[0])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    rows = [r.model_copy(update={"label": "copy"}) for r in read_rows(paths[0] / "eval" / RESULTS_FILE)]
    merge_rows(copy / "eval" / RESULTS_FILE, rows)
    comparison = compare(standard_grid([*paths, copy]))[0]
    for interval in [*comparison.intervals, *(i for _, i in comparison.means.values())]:
        assert (interval.estimate, interval.p) == (0, 1)
        assert -0.01 < interval.low < 0 < interval.high < 0.01
    text = render([*paths, copy])
    assert "copy changes the mean over 6 languages by 0.0 points compared with plain" in text


def test_examples_that_a_language_lacks(tmp_path: Path) -> None:
    """A skipped row has no outcome: only common ids are compared, and the value may rest on others."""
    run = {}
    for label, right in (("plain", [1, 0, 0, 1]), ("pgd", [1, 1, 0, 1])):
        run[label] = tmp_path / label
        rows = []
        for language, ids in (("en", [0, 1, 2, 3]), ("de", [0, 1, 3, 5] if label == "plain" else [1, 3, 5, 7])):
            name = f"outcomes/xnli/test-{language}.tsv"
            write_outcomes(run[label] / "eval" / name, ids, right)
            rows.append(row(label, 1, language, value=sum(right) / 4, n=4, outcomes=name))
        merge_rows(run[label] / "eval" / RESULTS_FILE, rows)
    comparison = compare(standard_grid(list(run.values())))[0]
    by_language = dict(zip([c[0] for c in comparison.cells], comparison.intervals, strict=True))
    assert by_language["en"].estimate == pytest.approx(1 / 4)
    # common ids 1, 3, 5: plain has 0, 0, 1 and pgd 1, 1, 0
    assert by_language["de"].estimate == pytest.approx((2 - 1) / 3)


def test_outcomes_are_paired_by_key_wherever_they_stand(tmp_path: Path) -> None:
    """The publisher's keys are no numbers, and each run may have them in another order."""
    outcomes = {"plain": (["q9", "q10", "a", "q2"], [1, 0, 0, 1]), "pgd": (["a", "q2", "new", "q10"], [1, 0, 1, 0])}
    for label, (keys, right) in outcomes.items():
        name = "outcomes/xnli/test-en.tsv"
        write_outcomes(tmp_path / label / "eval" / name, keys, right)
        merge_rows(tmp_path / label / "eval" / RESULTS_FILE, [
            row(label, 1, "en", value=sum(right) / 4, n=4, outcomes=name)])
    comparison = compare(standard_grid([tmp_path / "plain", tmp_path / "pgd"]))[0]
    assert comparison.examples == 3
    # q10: 0 and 0, a: 0 and 1, q2: 1 and 0
    assert comparison.intervals[0].estimate == pytest.approx(0)
    (tmp_path / "pgd/eval/outcomes/xnli/test-en.tsv").write_text("a\t1\nq2\t1\nnew\t0\nq10\t0\n")
    again = compare(standard_grid([tmp_path / "plain", tmp_path / "pgd"]))[0]
    assert again.intervals[0].estimate == pytest.approx(1 / 3)


def test_outcomes_that_do_not_fit_their_row(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain", "pgd"), seeds=(1,), languages=("en",), generalized=False)
    write_outcomes(paths[1] / "eval" / "outcomes/xnli/test-en.tsv", range(600), np.zeros(600))
    with pytest.raises(InputError, match="evaluate the run again"):
        write_report(paths, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_examples_with_one_first_text_are_one_group(tmp_path: Path) -> None:
    """Three copies of each example under one premise: the intervals are those of single ones."""
    grids = {}
    for copies in (1, 3):
        paths = []
        for label in ("plain", "pgd"):
            path, rows = tmp_path / f"{copies}" / label, []
            for language in ("en", "de"):
                right = np.repeat(draw(label, 1, language, language), copies)
                keys = [f"{i // copies:04}-{i % copies}" for i in range(len(right))]
                name = f"outcomes/xnli/test-{language}.tsv"
                write_outcomes(path / "eval" / name, keys, right, [f"{i // copies:04}-0" for i in range(len(right))])
                rows.append(row(label, 1, language, value=float(right.mean()), n=len(right), outcomes=name))
            merge_rows(path / "eval" / RESULTS_FILE, rows)
            paths.append(path)
        grids[copies] = compare(standard_grid(paths))[0]
    for one, three in zip(grids[1].intervals, grids[3].intervals, strict=True):
        assert three.estimate == pytest.approx(one.estimate)
        assert three.high - three.low == pytest.approx(one.high - one.low, rel=0.05)


@pytest.mark.parametrize(("base", "other", "words"), [
    (["", "", ""], ["a" * 16] * 3, "seeds of pgd start from one intermediate run and share its luck"),
    (["a" * 16] * 3, ["b" * 16] * 3, "seeds of plain start from one intermediate run and share its luck"),
    (["a" * 16] * 3, ["a" * 16] * 3, ""),
    (["a" * 16, "b" * 16, "c" * 16], ["a" * 16, "b" * 16, "c" * 16], ""),
    (["", "", ""], ["a" * 16, "b" * 16, "c" * 16], ""),
])
def test_seeds_of_one_intermediate_run_are_no_independent_runs(
    tmp_path: Path, base: list[str], other: list[str], words: str
) -> None:
    paths = make_runs(tmp_path, labels=("plain", "pgd"), generalized=False, oracle=False)
    for path, origin in zip(paths, [*base, *other], strict=True):
        rows = path / "eval" / RESULTS_FILE
        changed = [r.model_copy(update={"origin_run": origin}) for r in read_rows(rows)]
        rows.write_text("".join(json.dumps(r.model_dump()) + "\n" for r in changed))
    comparison = compare(standard_grid(paths))[0]
    assert comparison.dependent == words
    assert comparison.covers_training == (not words)
    assert (len(set(base)) == 1 and base == other) == bool(comparison.given)
    text = render(paths)
    assert (f"nothing can be said of the method ({words})" in text) == bool(words)
    assert ("a gain" in text) == (not words)


def test_pooled_runs_without_a_recipe_make_no_statement(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain", "pgd"), generalized=False, oracle=False)
    for path in paths:
        rows = path / "eval" / RESULTS_FILE
        changed = [r.model_copy(update={"settings": {}}) for r in read_rows(rows)]
        rows.write_text("".join(json.dumps(r.model_dump()) + "\n" for r in changed))
    pooled = next(s.standard for s in lay_out(read_runs(paths, "label")) if s.split == "test")
    assert compare(pooled)[0].dependent == "runs of plain record no recipe"
    assert not compare(pooled)[0].main[1].claimed


def test_rows_of_unlike_sentences_are_not_joined_across_languages(tmp_path: Path) -> None:
    """Equal row numbers of corpora of their own are other sentences: each counts, and shares nothing with the others.

    The oracle names the sentences apart itself.
    """
    sets = {"en": "row 600", "de": "row 600", "ru": "row 601", "tr": "publisher", "zh": "", "sw": ""}
    paths = make_runs(tmp_path / "one", labels=("plain", "pgd"), generalized=False, oracle=False)
    for path in paths:
        results = path / "eval" / RESULTS_FILE
        merge_rows(results, [one.model_copy(update={"joined_by": sets[one.language]}) for one in read_rows(results)])
    comparison = compare(standard_grid(paths))[0]
    assert comparison.examples == 5 * 600
    assert [[cell[0] for cell in cells] for cells in comparison.apart] == [["en", "de"], ["ru"], ["tr"], ["zh"], ["sw"]]
    assert "known to be the same sentences: en, de. Rows of ru, tr, zh, sw count as examples" in render(paths)

    named = make_runs(tmp_path / "two", labels=("plain", "pgd"), generalized=False, oracle=False)
    for path in named:
        for file in (path / "eval/outcomes/xnli").iterdir():
            language = file.stem.removeprefix("test-")
            if language not in ("en", "de"):
                lines = file.read_text().splitlines()
                file.write_text("".join(f"{language}-{line}\n" for line in lines))
    assert compare(standard_grid(named))[0].means["all 6"][1] == comparison.means["all 6"][1]
    joined = compare(standard_grid(make_runs(tmp_path / "three", labels=("plain", "pgd"), generalized=False)))[0]
    assert joined.apart == []
    assert joined.examples == 600
    assert joined.means["all 6"][1] != comparison.means["all 6"][1]
