"""Suites: all cells with one command; what is missing is listed with the reason, and the rest is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep import build
from data_prep.__main__ import main
from data_prep.languages import canonical_code
from data_prep.shards.read import find_cells, open_cell
from data_prep.tasks import TASKS
from data_prep.tasks.suites import SUITES, SuitePart

PAIRS = "the dog\ta cat\tneutral\na man\tthe man\tentailment\n"
SMALL = (
    SuitePart("xnli", ("train",), ("en",)), SuitePart("xnli", ("dev", "test"), ("en", "sw", "de", "th")),
    SuitePart("text", ("train",), ("en",)), SuitePart("mrpc", ("train",), ("en",)),
    SuitePart("nobodys", ("test",), ("en",)),
)


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with some cells of a small suite."""
    monkeypatch.setitem(SUITES, "small", SMALL)
    folder = tmp_path / "source"
    for name, content in {"xnli/train-en.tsv": PAIRS, "xnli/dev-en.tsv": PAIRS, "xnli/dev-swh.tsv": PAIRS,
                          "xnli/dev-de.tsv": "a\tb\tperhaps\n", "xnli/test-en.tsv": "a\tb\n", "xnli/notes.xml": "",
                          "text/en.txt": "the dog\n"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def run(folder: Path, tokenizer: Path, *more: str) -> int:
    return main(["build", "--suite", "small", "--source", str(folder), "--tokenizer", str(tokenizer), "--out",
                 str(folder.parent / "out"), *more])


def test_a_suite_goes_on_and_lists_what_is_missing(
    suite: Path, tokenizer_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = suite.parent / "out"
    assert run(suite, tokenizer_folder) == 2
    printed = capsys.readouterr()
    built = ["text/train/en", "xnli/dev/en", "xnli/dev/swh", "xnli/test/en", "xnli/train/en"]
    assert [cell.relative_to(out).as_posix() for cell in find_cells(out)] == built
    missing = dict(line.removeprefix("missing  ").split(": ", 1) for line in printed.out.splitlines()
                   if line.startswith("missing"))
    assert set(missing) == {"xnli/dev (1) de", "xnli/dev (1) th", "xnli/test (3) sw de th", "mrpc/train (1) en",
                            "nobodys/test (1) en"}
    assert "dev-de.tsv, line 1: label 'perhaps' is not one of" in missing["xnli/dev (1) de"]
    assert "has no dev in these languages; it has: train-en, dev-de, dev-en, dev-swh" in missing["xnli/dev (1) th"]
    assert "no such folder" in missing["mrpc/train (1) en"]
    assert missing["nobodys/test (1) en"] == "no task 'nobodys'"
    assert printed.err == ("error: suite small: 7 cells are missing or not as requested, see above; the others "
                           "are finished, and the same command goes on with these\n")
    assert printed.out.count("not read for xnli: 1 file: notes.xml") == 1


def test_a_suite_is_resumed_and_skips_what_is_finished(
    suite: Path, tokenizer_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = suite.parent / "out"
    assert run(suite, tokenizer_folder) == 2
    before = {cell: (cell / "manifest.json").stat().st_mtime_ns for cell in find_cells(out)}
    for name, content in {"xnli/dev-de.tsv": PAIRS, "xnli/dev-th.tsv": PAIRS, "xnli/test-de.tsv": PAIRS,
                          "xnli/test-sw.tsv": PAIRS, "xnli/test-th.tsv": PAIRS,
                          "mrpc/mrpc-train-en.tsv": "a\tb\t1\nc\td\t0\n"}.items():
        (suite / name).parent.mkdir(exist_ok=True)
        (suite / name).write_text(content)
    build.SUITES["small"] = SMALL[:-1]
    capsys.readouterr()
    assert run(suite, tokenizer_folder) == 0
    assert capsys.readouterr().out.count("skipped ") == len(before) == 5
    assert len(find_cells(out)) == 11
    assert all((cell / "manifest.json").stat().st_mtime_ns == stamp for cell, stamp in before.items())
    assert len(open_cell(out / "mrpc/train/en", verify="sha256")) == 2
    (suite / "xnli/dev-en.tsv").write_text(PAIRS * 2)
    assert run(suite, tokenizer_folder) == 2
    assert "missing  xnli/dev (1) en: " in (printed := capsys.readouterr().out)
    assert "check --source, then add --overwrite" in printed
    assert run(suite, tokenizer_folder, "--overwrite") == 0
    assert len(open_cell(out / "xnli/dev/en")) == 4


@pytest.mark.parametrize(("more", "message"), [
    (["--suite", "xtrem"],
     "no suite 'xtrem' (did you mean 'xtreme'?); suites: xtreme, xtreme_r, xglue, african, intermediate"),
    (["--suite", "xtreme", "xnli"], "--suite xtreme holds its tasks, splits and languages; omit xnli"),
    (["--suite", "xtreme", "--languages", "de"], "omit --languages"),
    (["--suite", "xtreme", "--columns", "first=a"], "omit --columns"),
    (["--suite", "xtreme", "--source", "absent"], "a suite is built from 'hub', or from a folder with one folder per"),
    (["--suite", "xtreme", "--source", "hub:a/b"], "a suite is built from 'hub', or from a folder with one folder per"),
])
def test_wrong_flags(
    suite: Path, tokenizer_folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    flags = [] if "--source" in more else ["--source", str(suite)]
    assert main(["build", *more, *flags, "--tokenizer", str(tokenizer_folder), "--out", str(suite.parent / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (suite.parent / "out").exists()


COUNTS = {  # languages of the test sets: FIELD tables of the papers
    "xtreme": {"xnli": 15, "pawsx": 7, "udpos": 33, "panx": 40, "xquad": 11, "mlqa": 7, "tydiqa": 9, "bucc": 4,
               "tatoeba": 36},
    "xtreme_r": {"xnli": 15, "xcopa": 11, "udpos": 38, "panx": 48, "xquad": 12, "mlqa": 7, "tydiqa": 9, "tatoeba": 41,
                 "mewslix": 12, "lareqa": 11},  # Mewsli-X: 11 and the candidates
    "xglue": {"xglue_ner": 4, "xglue_pos": 18, "nc": 5, "mlqa": 7, "xnli": 15, "pawsx": 4, "qadsm": 3, "wpr": 7,
              "qam": 3},
}


@pytest.mark.parametrize("name", COUNTS)
def test_languages_of_the_benchmarks(name: str) -> None:
    assert {part.task: len(set(part.languages)) for part in SUITES[name] if "test" in part.splits} == COUNTS[name]
    for part in SUITES[name]:
        assert len({canonical_code(language) for language in part.languages}) == len(part.languages)


@pytest.mark.parametrize("name", SUITES)
def test_tasks_of_a_suite_exist(name: str) -> None:
    there = [part for part in SUITES[name] if part.task in TASKS]
    for part in there:
        ours = {canonical_code(language) for language in TASKS[part.task].languages}
        assert {canonical_code(language) for language in part.languages} <= ours or name == "african"
    if len(there) < len(SUITES[name]):
        pytest.skip(f"not yet: {', '.join(part.task for part in SUITES[name] if part.task not in TASKS)}")
