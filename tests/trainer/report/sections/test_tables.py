"""Tables: numbers, order, missing cells, single seeds, unlabelled cells, oracle rows, many languages."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.trainer.report.synthetic_runs import LANGUAGES, draw, edit_rows, make_runs, render, row, standard_grid, texts
from trainer.report.data.collect import missing_cells
from trainer.report.data.runs import read_runs
from trainer.report.sections.tables import language_tables
from trainer.results.scores import RESULTS_FILE, merge_rows


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
    assert "| plain | one seed | **10.38** | **12.50** | **8.25** | **12.50** |" in text
    assert "| plain | +4.25 | +4.25 |" in text  # the gap: German is that much more perplexing
    assert "plain: 8.25 in en and 12.50 on average over 1 other language, a gap of 4.25." in text


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
