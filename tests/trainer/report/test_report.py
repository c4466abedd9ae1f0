"""The whole report on made-up runs: numbers, words, missing cells, several and single seeds, refusals."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from data_prep.base import cli
from data_prep.base.errors import InputError
from tests.trainer.report.sections.test_diagnostics import runs_with_rows
from tests.trainer.report.synthetic_runs import LANGUAGES, draw, make_runs, row
from trainer.report import report
from trainer.report.build import build
from trainer.report.data.collect import lay_out, missing_cells
from trainer.report.data.compare import compare
from trainer.report.data.compute import compute
from trainer.report.data.grid import Grid
from trainer.report.data.runs import read_runs
from trainer.report.document import Table
from trainer.report.render import markdown
from trainer.report.render import tensorboard as events
from trainer.report.sections.tables import language_tables
from trainer.report.write import write_report
from trainer.results.numbers import PERCENT, listed
from trainer.results.outcomes import write_outcomes
from trainer.results.scores import RESULTS_FILE, ResultRow, merge_rows, read_rows

GOLDEN = Path(__file__).with_name("golden_report.md")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def no_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave TensorBoard out: drawing every figure once more takes longer than everything else here."""
    monkeypatch.setattr(events, "write", lambda *_: False)


def standard_grid(paths: list[Path], task: str = "xnli", split: str = "test") -> Grid:
    return next(s.standard for s in lay_out(read_runs(paths)) if (s.task, s.split) == (task, split))


def edit_rows(run: Path, keep: Callable[[ResultRow], bool]) -> None:
    """Keep only the rows that `keep` says."""
    path = run / "eval" / RESULTS_FILE
    rows = [r for r in read_rows(path) if keep(r)]
    path.write_text("".join(json.dumps(r.model_dump()) + "\n" for r in rows))


def render(paths: list[Path]) -> str:
    """The report as Markdown, without writing a file."""
    runs = read_runs(paths)
    return markdown.render(build(compute(runs)))


def texts(table: Table) -> list[list[str]]:
    return [[f"{entry.text} {entry.below}".strip() for entry in line] for line in table.rows]


def test_numbers_of_the_main_table(tmp_path: Path) -> None:
    grid = standard_grid(make_runs(tmp_path, generalized=False))
    table = language_tables(grid, "title")[0]
    assert [c.text for c in table.columns] == ["label", "seeds", "mean, all 6", "mean, 5 non-en", *LANGUAGES]
    values = np.array([[draw("pgd", seed, lang, lang).mean() for lang in LANGUAGES] for seed in (1, 2, 3)]) * 100
    line = next(line for line in texts(table) if line[0] == "pgd")
    sw = values[:, list(LANGUAGES).index("sw")]
    assert line[-1] == f"{sw.mean():.1f} ± {sw.std(ddof=1):.1f}"
    assert line[2] == f"{values.mean():.1f} ± {values.mean(axis=1).std(ddof=1):.1f}"
    assert line[3] == f"{values[:, 1:].mean():.1f} ± {values[:, 1:].mean(axis=1).std(ddof=1):.1f}"


def test_order_of_labels_and_languages(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("pgd", "plain"), languages=("sw", "en", "de"), seeds=(1,), generalized=False)
    grid = standard_grid(paths)
    assert grid.labels == ["plain", "pgd"]
    assert grid.languages == ["en", "sw", "de"]


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
    assert "copy changes the mean over 6 languages by 0.0 points against plain" in text


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


def test_one_seed_is_called_one_seed(tmp_path: Path) -> None:
    text = render(make_runs(tmp_path, seeds=(7,), generalized=False, oracle=False))
    main = text.split("by language**")[1].split("![")[0]
    assert "| plain | one seed |" in main
    assert "±" not in main
    assert "One seed per label: no deviation." in main
    assert "the luck of training" in text
    assert "rest on one seed per label; at least 3 are needed" in text


def test_missing_cells_are_listed_by_name(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain", "pgd"), seeds=(1, 2), oracle=False)
    edit_rows(paths[1], lambda r: r.language != "tr" or r.setting != "standard")
    edit_rows(paths[3], lambda r: (r.language, r.language_2) != ("sw", "de"))
    merge_rows(paths[2] / "eval" / RESULTS_FILE,
               [row("pgd", 1, "zh", value=None, n=0, note="missing: no shards for zh")])
    names = {(m.run.name, m.setting, m.cell_name, m.reason) for m in missing_cells(read_runs(paths))}
    assert names == {("plain-s2", "standard", "tr", "not evaluated"), ("pgd-s1", "standard", "zh", "no shards for zh"),
                     ("pgd-s2", "generalized", "sw→de", "not evaluated")}
    text = render(paths)
    assert "- plain-s2 (plain, seed 2): xnli / test: tr (not evaluated)" in text
    assert "- pgd-s1 (pgd, seed 1): xnli / test: zh (no shards for zh)" in text
    assert "- Incomplete: 3 cells missing" in text
    assert "(n=1)" in text
    assert "Averages are over the 4 of 6 cells that every run has; left out: tr, zh." in text


def test_a_label_without_a_cell_says_missing(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain", "pgd"), seeds=(1,), generalized=False, oracle=False)
    edit_rows(paths[1], lambda r: r.language != "sw")
    line = next(line for line in texts(language_tables(standard_grid(paths), "t")[0]) if line[0] == "pgd")
    assert line[-1] == "missing"


def test_no_label_is_never_a_number(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain", "pgd"), seeds=(1,), generalized=False, oracle=False)
    for path, label in zip(paths, ("plain", "pgd"), strict=True):
        rows = [row(label, 1, lang, split=split, value=None, note="no label", outcomes=None)
                for lang, split in (("ur", "test"), ("en", "hidden"), ("de", "hidden"))]
        merge_rows(path / "eval" / RESULTS_FILE, rows)
    text = render(paths)
    table = language_tables(standard_grid(paths), "t")[0]
    assert [line[-1] for line in texts(table)] == ["no label", "no label"]
    assert [c.text for c in table.columns][2:4] == ["mean, all 6", "mean, 5 non-en"]  # ur is in no average
    hidden = text.split("## xnli / hidden")[1].split("\n## ")[0]
    assert "No label here: predictions are written, there is nothing to score." in hidden
    assert "| plain | one seed | no label | no label |" in hidden
    assert "None: every run has a row for every cell that any run has." in text


def test_perplexity_has_its_own_numbers(tmp_path: Path) -> None:
    for label, shift in (("plain", 0.0), ("pgd", 1.5)):
        rows = [row(label, 1, lang, task="text", kind="mlm", metric="perplexity", value=value + shift, outcomes=None)
                for lang, value in (("en", 8.25), ("de", 12.5))]
        merge_rows(tmp_path / label / "eval" / RESULTS_FILE, rows)
    text = render([tmp_path / "plain", tmp_path / "pgd"])
    assert "| plain | one seed | 10.38 | 12.50 | 8.25 | 12.50 |" in text
    assert "| plain | +4.25 | +4.25 |" in text  # the gap: German is that much more perplexing
    assert "plain reaches 8.25 in en and 12.50 on average over 1 other language, a gap of 4.25." in text


def test_oracle_rows_stand_apart(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain",), seeds=(1, 2), languages=("en", "de"), generalized=False)
    for seed, path in zip((1, 2), paths, strict=True):
        rows = [row("plain", seed, lang, split="dev", value=0.8) for lang in ("en", "de")]
        merge_rows(path / "eval" / RESULTS_FILE, rows)
    text = render(paths)
    dev = text.split("## xnli / dev")[1].split("\n## ")[0]
    assert "selected on each target language's own dev set" in dev
    assert "| plain | +11.3 ± 0.1 | +3.3 ± 0.1 |" in dev.split("Oracle minus the chosen checkpoint")[1]
    assert "racle" not in text.split("## xnli / test")[1].split("\n## ")[0]


def test_many_languages_are_continued(tmp_path: Path) -> None:
    rows = [row("plain", 1, f"l{i:02}", outcomes=None) for i in range(40)]
    merge_rows(tmp_path / "r" / "eval" / RESULTS_FILE, rows)
    tables = language_tables(standard_grid([tmp_path / "r"]), "T")
    assert [len(t.columns) for t in tables] == [2 + 1 + 16, 1 + 16, 1 + 8]
    assert tables[1].title == "T (languages 17 to 32 of 40)"


def test_names_are_escaped_everywhere(tmp_path: Path, no_events: None) -> None:
    name = "<script>alert(1)</script>|$x$ *b* _"
    rows = [row(name, 1, lang, outcomes=None) for lang in ("en", "de")]
    merge_rows(tmp_path / "r" / "eval" / RESULTS_FILE, rows)
    summary = write_report([tmp_path / "r"], tmp_path / "out")
    page = summary.html.read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    text = summary.markdown.read_text()
    assert "<script>" not in re.sub(r"\\<", "", text)
    lines = [line for line in text.splitlines() if line.startswith("| \\<")]
    assert lines
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines if "one seed" in line}) == 1


def test_files_of_a_report(tmp_path: Path, no_events: None) -> None:
    paths = make_runs(tmp_path / "runs", labels=("plain", "pgd"), languages=("en", "de"))
    out = tmp_path / "deep" / "report"
    summary = write_report(paths, out)
    first = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert {str(p) for p in first if p.parent == Path(".")} == {"report.md", "report.html", "results.csv"}
    assert {p.name for p in (out / "figures").iterdir()} >= {"xnli-test-languages.svg", "xnli-test-map-0.svg"}
    with summary.csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(read_rows(p / "eval" / RESULTS_FILE)) for p in paths)
    assert rows[0]["label"] == "plain"
    assert float(rows[0]["value"]) == pytest.approx(draw("plain", 1, "en", "en").mean())
    for link in re.findall(r"\]\((\S+\.svg)\)", summary.markdown.read_text()):
        assert (out / link).is_file()
    (out / "mine.txt").write_text("kept")
    write_report(paths, out)
    again = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert again.pop(Path("mine.txt")) == b"kept"
    assert again == first
    assert {p.name for p in out.parent.iterdir()} == {"report"}


def test_page_is_self_contained(tmp_path: Path, no_events: None) -> None:
    paths = make_runs(tmp_path / "runs", labels=("plain", "pgd"))
    page = write_report(paths, tmp_path / "out").html.read_text()
    assert not re.findall(r"https?://", page)
    assert "<script" not in page
    assert "@import" not in page
    assert not re.findall(r'(?:src|href)="(?!#|data:)', page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', page)) <= set(ids)
    assert page.count("<figure") == 2 + 2 + 1  # languages, differences; a map per label; a difference map


def test_golden_markdown(tmp_path: Path) -> None:
    text = render(make_runs(tmp_path, labels=("plain", "pgd"), seeds=(1, 2, 3), languages=("en", "de", "sw")))
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_tensorboard_has_figures_and_scalars(tmp_path: Path) -> None:
    paths = make_runs(tmp_path / "runs", labels=("plain", "pgd"), seeds=(1,), languages=("en", "de"), oracle=False)
    summary = write_report(paths, tmp_path / "out")
    loaded = EventAccumulator(str(summary.tensorboard))
    loaded.Reload()
    assert "report/xnli-test-languages" in loaded.Tags()["images"]
    image = loaded.Images("report/xnli-test-languages")[0]
    with Image.open(io.BytesIO(image.encoded_image_string)) as drawn:
        assert (drawn.format, drawn.size) == ("PNG", (image.width, image.height))
    scalar = loaded.Scalars("xnli-test-standard/accuracy/de/pgd")[0].value
    assert scalar == pytest.approx(draw("pgd", 1, "de", "de").mean(), abs=1e-6)


@pytest.mark.parametrize(
    "case", ["none", "absent", "unevaluated", "empty", "twice", "same seed", "out", "out file"])
def test_bad_input_leaves_no_trace(tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    paths = make_runs(tmp_path / "runs", labels=("plain",), seeds=(1,), languages=("en",), generalized=False)
    out, words = tmp_path / "out", [str(paths[0])]
    expected = {
        "none": "no run given", "absent": "not a directory", "unevaluated": "python -m trainer evaluate",
        "empty": "holds no rows", "twice": "given twice", "same seed": "different labels",
        "out": "no report.html", "out file": "is a file",
    }[case]
    extra = [f"--out={out}"]
    if case == "none":
        words = []
    elif case == "absent":
        words.append(str(tmp_path / "nowhere"))
    elif case in ("unevaluated", "empty"):
        (tmp_path / "bare" / "eval").mkdir(parents=True)
        if case == "empty":
            (tmp_path / "bare" / "eval" / RESULTS_FILE).write_text("\n")
        words.append(str(tmp_path / "bare"))
    elif case == "twice":
        words.append(f"{paths[0]}/../plain-s1")
    elif case == "same seed":
        words.append(str(make_runs(tmp_path / "other", labels=("plain",), seeds=(1,), languages=("en",))[0]))
    elif case == "out":
        extra = [f"--out={paths[0]}"]
    else:
        out.write_text("a file")
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    assert cli.main({"report": report}, ["report", *words, *extra], "trainer") == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*")) == before


def test_outcomes_that_do_not_fit_their_row(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain", "pgd"), seeds=(1,), languages=("en",), generalized=False)
    write_outcomes(paths[1] / "eval" / "outcomes/xnli/test-en.tsv", range(600), np.zeros(600))
    with pytest.raises(InputError, match="evaluate the run again"):
        write_report(paths, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_command_prints_the_main_table(
    tmp_path: Path, no_events: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    paths = make_runs(tmp_path / "runs", labels=("plain", "random_noise"), generalized=False, oracle=False)
    words = ["report", *map(str, paths), "--out", str(tmp_path / "out")]
    assert cli.main({"report": report}, words, "trainer") == 0
    printed = capsys.readouterr().out
    assert "random_noise" in printed
    assert "76.4" in printed
    assert str(tmp_path / "out" / "report.html") in printed.replace("\n", "")


def test_importing_the_command_is_light() -> None:
    code = "import sys, trainer.report; print([m for m in ('torch', 'matplotlib', 'deepspeed') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_runs_without_torch(tmp_path: Path) -> None:
    """The whole command, TensorBoard's event file included, where torch, deepspeed and transformers are missing."""
    paths = runs_with_rows(tmp_path / "runs")
    code = ("import sys, runpy; sys.modules |= dict.fromkeys(('torch', 'deepspeed', 'transformers')); "
            "runpy.run_module('trainer', run_name='__main__')")
    done = subprocess.run([sys.executable, "-c", code, "report", *map(str, paths), "--out", str(tmp_path / "out")],
                          capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"TensorBoard: tensorboard --logdir {tmp_path / 'out' / 'tensorboard'}" in done.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "report.md", "report.html", "results.csv", "figures", "tensorboard"}
    assert len(list((tmp_path / "out" / "tensorboard").iterdir())) == 1


def test_how_numbers_are_written() -> None:
    assert PERCENT.signed(0.008) == "+0.8"
    assert PERCENT.signed(-0.0104) == "−1.0"
    assert PERCENT.signed(-0.0001) == "0.0"
    assert PERCENT.value(1.0) == "100.0"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert isinstance(row("plain", 1, "en"), ResultRow)


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
        assert (three.low, three.high) == pytest.approx((one.low, one.high), rel=0.05)


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
