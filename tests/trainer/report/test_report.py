"""The command: files of a report, determinism, refusals, no torch; the whole text of a small report."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_prep.base import cli
from tests.trainer.report.sections.test_diagnostics import runs_with_rows
from tests.trainer.report.synthetic_runs import draw, make_runs, render, row
from trainer.report import report
from trainer.report.write import write_report
from trainer.results.numbers import PERCENT, listed, listed_names
from trainer.results.scores import RESULTS_FILE, ResultRow, read_rows

GOLDEN = Path(__file__).with_name("golden_report.md")
ROOT = Path(__file__).parents[3]


def test_files_of_a_report(tmp_path: Path, no_events: None) -> None:
    paths = make_runs(tmp_path / "runs", labels=("plain", "pgd"), languages=("en", "de"))
    out = tmp_path / "deep" / "report"
    summary = write_report(paths, out)
    first = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert {str(p) for p in first if p.parent == Path(".")} == {"report.md", "report.html", "results.csv"}
    assert {p.name for p in (out / "figures").iterdir()} >= {"xnli-test-languages.svg", "xnli-test-map-0.svg"}
    with (out / "figures" / "xnli-test-languages.csv").open(newline="") as file:
        drawn = {(row["label"], row["language"]): row for row in csv.DictReader(file)}
    scores = [draw("pgd", seed, "de", "de").mean() for seed in (1, 2, 3)]
    assert float(drawn["pgd", "de"]["mean_accuracy"]) == pytest.approx(np.mean(scores), rel=1e-5)
    assert float(drawn["pgd", "de"]["deviation"]) == pytest.approx(np.std(scores, ddof=1), rel=1e-5)
    with summary.csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(read_rows(p / "eval" / RESULTS_FILE)) for p in paths)
    assert rows[0]["label"] == "plain"
    assert float(rows[0]["value"]) == pytest.approx(draw("plain", 1, "en", "en").mean())
    for link in re.findall(r"\]\((figures/[^)\s]+)\)", summary.markdown.read_text()):
        assert (out / link).is_file()
    (out / "mine.txt").write_text("kept")
    write_report(paths, out)
    again = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert again.pop(Path("mine.txt")) == b"kept"
    assert again == first
    assert {p.name for p in out.parent.iterdir()} == {"report"}


def test_golden_markdown(tmp_path: Path) -> None:
    text = render(make_runs(tmp_path, labels=("plain", "pgd"), seeds=(1, 2, 3), languages=("en", "de", "sw")))
    assert text == GOLDEN.read_text(encoding="utf-8")


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
    board = {path.name for path in (tmp_path / "out" / "tensorboard").iterdir()}
    assert board == {"events.out.tfevents.0", *(path.name for path in paths)}


def test_how_numbers_are_written() -> None:
    assert PERCENT.signed(0.008) == "+0.8"
    assert PERCENT.signed(-0.0104) == "−1.0"
    assert PERCENT.signed(-0.0001) == "0.0"
    assert PERCENT.value(1.0) == "100.0"
    assert listed(["a", "b", "c"]) == listed_names(["a", "b", "c"]) == "a, b and c"
    assert listed_names(["MNLI, SST-2", "English and translations", "b"]) == "MNLI, SST-2; English and translations; b"
    assert isinstance(row("plain", 1, "en"), ResultRow)
