"""Submission folders: a made-up whole suite passes the organisers' checks, written here in other words."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from data_prep.base.errors import InputError
from trainer.evaluate.official import FORMATS
from trainer.evaluate.submission import submission
from trainer.evaluate.suites import SUITES, XTREME, XTREME_R, Part
from trainer.metrics import METRICS
from trainer.results.predictions import predictions_path, replace_file
from trainer.results.scores import RESULTS_FILE, ResultRow, merge_rows

SHORT = 8  # rows of files whose length the suite does not know
OTHER_CODES = {"tatoeba": {"de": "deu", "sw": "swh", "zh": "cmn", "fa": "pes", "tl": "tgl"}}


@pytest.fixture(autouse=True)
def metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows may name every metric that a suite is scored by."""
    for part in (part for suite in SUITES.values() for part in suite.parts.values()):
        for name in {name for names in part.scores for name in names} - METRICS.keys():
            monkeypatch.setitem(METRICS, name, METRICS["accuracy"])


def draw(part: Part, rows: int, noise: random.Random) -> str:
    """A random prediction file of a run."""
    if part.format == "labels":
        return "".join(f"{noise.choice(sorted(part.labels) or ['sports', 'news'])}\n" for _ in range(rows))
    if part.format in ("choices", "indices"):
        return "".join(f"{noise.randrange(2)}\n" for _ in range(rows))
    if part.format == "tags":
        return "\n\n".join("\n".join(noise.choice("OXV") for _ in range(1 + i % 3)) for i in range(rows)) + "\n"
    if part.format == "pairs":
        return "".join(f"de-{i}\ten-{noise.randrange(20)}\n" for i in range(rows))
    answers = {f"q{i}": [f"Q{j}" for j in range(20)] if part.format == "rankings" else "so\n" for i in range(rows)}
    return json.dumps(answers)


def write_run(path: Path, suite: str, folders: Sequence[str], languages: Sequence[str] | None = None,
              values: bool = True, codes: dict[str, dict[str, str]] | None = None) -> Path:
    """An evaluated run that holds these parts of a suite."""
    noise, rows = random.Random(path.name), []
    for folder in folders:
        part = SUITES[suite].parts[folder]
        for language in languages or part.languages:
            code = (codes or {}).get(folder, {}).get(language, language)
            file = predictions_path(part.tasks[0], "test", code)
            if part.format is not None:
                replace_file(path / "eval" / file, draw(part, part.rows.get(language, SHORT), noise).encode())
            rows += [ResultRow(
                run=path.name, label="plain", method="plain", seed=1, task=part.tasks[0], kind="pair", metric=names[0],
                split="test", language=code, language_2=code, value=0.5 + noise.random() / 2 if values else None,
                note="" if values else "no label", n=part.rows.get(language, SHORT), step=10,
                predictions=file if part.format is not None else None) for names in part.scores]
    merge_rows(path / "eval" / RESULTS_FILE, rows)
    return path


def organisers_read(file: Path) -> int:
    """Rows that a script of XTREME finds in a file, by the file's place and ending; AssertionError where it fails."""
    text, task = file.read_text(encoding="utf-8"), file.parent.name
    if file.suffix == ".json":
        assert all(isinstance(key, str) for key in json.loads(text))
        return len(json.loads(text))
    if task in ("panx", "udpos"):  # a sentence ends at each blank line
        blocks = text.strip("\n").split("\n\n")
        assert all(block.strip() for block in blocks)
        return len(blocks)
    lines = text.splitlines()
    if file.suffix == ".jsonl":
        assert {type(json.loads(line)["label"]) for line in lines} == {int}
    if task == "bucc2018":
        assert {len(line.split("\t")) for line in lines} == {2}
    return len(lines)


@pytest.mark.parametrize("suite", SUITES)
def test_a_whole_suite(tmp_path: Path, suite: str, capsys: pytest.CaptureFixture[str]) -> None:
    parts = SUITES[suite].parts
    runs = [write_run(tmp_path / f"run-{name}", suite, [name], codes=OTHER_CODES) for name in parts]
    submission(*map(str, runs), suite=suite, out=str(tmp_path / "out"))
    told = capsys.readouterr().out
    expected = {f"{name}/" + SUITES[suite].file.format(language=language, extension=FORMATS[part.format].extension)
                for name, part in parts.items() if part.format for language in part.languages}
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert written == expected
    assert "missing" not in told
    means = []
    for run, (name, part) in zip(runs, parts.items(), strict=True):
        lines = (run / "eval" / RESULTS_FILE).read_text().splitlines()
        means.append(100 * sum(json.loads(line)["value"] for line in lines) / len(lines))
        assert f"{name}: {means[-1]:.2f} over {len(part.languages)} of" in told
        if suite != "xglue" and part.format is not None:
            for language in part.languages:
                (file,) = (tmp_path / "out" / name).glob(f"test-{language}.*")
                assert organisers_read(file) == part.rows.get(language, SHORT)
    assert f"{suite}: {sum(means) / len(means):.2f}, mean over {len(parts)} tasks" in told


def test_what_is_missing_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nli = write_run(tmp_path / "nli", "xtreme", ["xnli"], ["en", "de"])
    qa = write_run(tmp_path / "qa", "xtreme", ["xquad"], values=False)
    assert submission(str(nli), str(qa), suite="xtreme", out=str(tmp_path / "out")) == 0
    told = capsys.readouterr().out
    assert "missing  xnli: ar, bg, el, es, fr, hi, ru, sw, th, tr, ur, vi, zh\n" in told
    assert "missing  tydiqa: all 9 languages\n" in told
    assert "missing  xquad" not in told
    assert "over 2 of 15 languages" in told
    assert "xquad:" not in told  # predictions without labels have no score
    assert "xtreme: no overall score, 0 of 9 tasks have a score on all rows in every language" in told


@pytest.mark.parametrize(("folder", "damage", "message"), [
    ("xnli", lambda text: text.removesuffix("\n").rpartition("\n")[0] + "\n", "5,009 lines, .* has 5,010 rows"),
    ("xnli", lambda text: "NEUTRAL\n" + text.partition("\n")[2], "label 'NEUTRAL', expected contradiction, entailment"),
    ("xnli", lambda text: text[:-1], "the last line is cut short"),
    ("pawsx", lambda text: text + "1\n", "2,001 lines, .* has 2,000 rows"),
    ("panx", lambda text: "-\n\n" + text, "sentence 1 has no tags"),
    ("xquad", lambda text: text.replace('"so\\n"', "3", 1), "the answer to 'q0' is no text"),
    ("xquad", lambda text: '{"more": "x", ' + text[1:], "1,191 answers, the publisher's file has 1,190"),
    ("tatoeba", lambda text: "1000\n" + text.partition("\n")[2], "line 1: '1000', expected a number below 1,000"),
    ("bucc2018", lambda text: text + "de-1\n", "line 9: 'de-1', expected two ids"),
    ("bucc2018", lambda text: text + text, "a pair occurs twice"),
])
def test_a_file_that_would_fail_is_refused_before_anything_is_written(
    tmp_path: Path, folder: str, damage: object, message: str
) -> None:
    run = write_run(tmp_path / "run", "xtreme", [folder], ["de"])
    file = next((run / "eval/predictions").rglob("test-de.tsv"))
    file.write_text(damage(file.read_text()))  # type: ignore[operator]
    with pytest.raises(InputError, match=message) as told:
        submission(str(run), suite="xtreme", out=str(tmp_path / "out"))
    assert str(file) in str(told.value)
    assert not (tmp_path / "out").exists()


def test_rows_left_out_are_wrong_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", "xtreme_r", ["xcopa"], ["et"])
    (file,) = (run / "eval/predictions/xcopa").iterdir()
    file.write_text("-\n" + file.read_text().partition("\n")[2])
    submission(str(run), suite="xtreme_r", out=str(tmp_path / "out"))
    assert (tmp_path / "out/xcopa/test-et.jsonl").read_text().startswith('{"label": -1}\n{"label": ')
    told = capsys.readouterr().out
    assert "xcopa/et: 1 rows without a prediction, which count as wrong" in told
    assert "over 1 of 11 languages (of the predicted rows only: et)" in told


def test_one_run_per_task_and_one_cell_per_language(tmp_path: Path) -> None:
    first, second = (write_run(tmp_path / name, "xtreme", ["pawsx"], ["de"]) for name in ("one", "two"))
    with pytest.raises(InputError, match=r"one and .*two both hold pawsx"):
        submission(str(first), str(second), suite="xtreme", out=str(tmp_path / "out"))
    write_run(first, "xtreme", ["pawsx"], ["de"], codes={"pawsx": {"de": "deu_Latn"}})
    with pytest.raises(InputError, match="de and deu_Latn of pawsx are one language of the suite, de"):
        submission(str(first), suite="xtreme", out=str(tmp_path / "out"))


def test_what_stands_in_the_way_is_kept(tmp_path: Path) -> None:
    run, out = write_run(tmp_path / "run", "xtreme", ["pawsx"], ["de"]), tmp_path / "out"
    submission(str(run), suite="xtreme", out=str(out))
    with pytest.raises(InputError, match="exists; add --overwrite"):
        submission(str(run), suite="xtreme", out=str(out))
    submission(str(run), suite="xtreme", out=str(out), overwrite=True)
    (out / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"holds thesis\.tex, which is no part of a submission"):
        submission(str(run), suite="xtreme", out=str(out), overwrite=True)
    for flags, message in (({"suite": "glue"}, "must be one of xtreme, xtreme_r, xglue"),
                           ({"suite": "xglue"}, "none of .* holds predictions on a test set of xglue")):
        empty = write_run(tmp_path / "empty", "xtreme", ["tydiqa"], ["sw"])
        with pytest.raises(InputError, match=message):
            submission(str(empty), out=str(tmp_path / "new"), **flags)
    with pytest.raises(InputError, match="no run given"):
        submission(suite="xtreme", out=str(tmp_path / "new"))
    with pytest.raises(InputError, match=r"has no eval/results\.jsonl"):
        submission(str(tmp_path), suite="xtreme", out=str(tmp_path / "new"))


def test_numbers_of_languages() -> None:
    """The counts of the organisers' papers (arXiv 2003.11080, table 1; 2104.07412, table 2)."""
    assert {name: len(part.languages) for name, part in XTREME.parts.items()} == {
        "xnli": 15, "pawsx": 7, "udpos": 33, "panx": 40, "xquad": 11, "mlqa": 7, "tydiqa": 9, "bucc2018": 4,
        "tatoeba": 36}
    assert {name: len(part.languages) for name, part in XTREME_R.parts.items()} == {
        "xnli": 15, "xcopa": 11, "udpos": 38, "panx": 48, "xquad": 12, "mlqa": 7, "tydiqa": 9, "tatoeba": 41,
        "mewslix": 11, "lareqa": 11}
    assert sum(XTREME.parts["tydiqa"].rows.values()) == 5077
    for suite in SUITES.values():
        assert all(set(part.rows) <= set(part.languages) for part in suite.parts.values())
        assert all(len(set(part.languages)) == len(part.languages) for part in suite.parts.values())
