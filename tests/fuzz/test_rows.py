"""Rows of results and diagnostics, and the files per example that they name: damaged, and given to `report`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz.budget import fuzzed
from tests.fuzz.damage import JUNK, accepted, damaged_bytes, damaged_tree, run_command, scratch
from trainer.__main__ import main
from trainer.report.build import build
from trainer.report.data.compute import compute
from trainer.report.data.runs import read_runs
from trainer.results.diagnostics import DIAGNOSTICS_FILE, DiagnosticRow, merge_diagnostics, read_diagnostics
from trainer.results.outcomes import read_outcomes
from trainer.results.predictions import read_certificates, read_predictions
from trainer.results.scores import RESULTS_FILE, ResultRow, merge_rows, read_rows

FILES = [RESULTS_FILE, DIAGNOSTICS_FILE]
# Values of the right type that only a damaged or hostile row holds.
EXTREME = [0, 1, 2**62, 10**30, 10**400, 1e-320, 1e-12, 1.0, 1e15, 1e308, "x" * 300, "<b>", "</script>", "|", "\u202e",
           "$x$", "a_b^{c", "%s", "standard", "generalized", "smoothed", "oracle", "missing: x", "no label", "dev",
           "de", "zz", 0.25, "predictions", "outcomes/xnli", "outcomes/xnli/test-en.tsv", "outcomes/a\0b", "..",
           "../../run.json", "/etc/passwd", None]


@pytest.fixture(scope="module")
def runs(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run, and beside it the same run under another label: a report has something to compare."""
    place = tmp_path_factory.mktemp("runs")
    for name in ("plain", "pgd"):
        shutil.copytree(finished / "eval", place / name / "eval")
        eval_folder = place / name / "eval"
        changes = {"run": name, "label": name}
        merge_rows(eval_folder / "new", [
            row.model_copy(update=changes) for row in read_rows(eval_folder / RESULTS_FILE)])
        (eval_folder / "new").rename(eval_folder / RESULTS_FILE)
        merge_diagnostics(eval_folder / "new", [
            row.model_copy(update=changes) for row in read_diagnostics(eval_folder / DIAGNOSTICS_FILE)])
        (eval_folder / "new").rename(eval_folder / DIAGNOSTICS_FILE)
    return place


def rows_of(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def written(rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in (rows if isinstance(rows, list) else [rows])).encode()


def read(file: Path) -> list[ResultRow] | list[DiagnosticRow]:
    return read_rows(file) if file.name == RESULTS_FILE else read_diagnostics(file)


@fuzzed(150)
@given(st.sampled_from(FILES), st.data())
def test_rows_are_read_whole_or_refused(runs: Path, name: str, data: st.DataObject) -> None:
    good = runs / "plain" / "eval" / name
    content = data.draw(st.one_of(
        damaged_tree(rows_of(good)).map(written), damaged_tree(rows_of(good), JUNK + EXTREME, alike=True).map(written),
        damaged_bytes(good.read_bytes()), st.binary(max_size=40)))
    with scratch() as folder:
        (folder / name).write_bytes(content)
        rows = accepted(lambda: read(folder / name))
        if rows is None:
            return
        assert len(rows) == sum(bool(line.strip()) for line in content.decode().split("\n"))
        (folder / "again" / name).parent.mkdir()
        merge = merge_rows if name == RESULTS_FILE else merge_diagnostics
        merge(folder / "again" / name, rows)  # type: ignore[arg-type]
        assert read(folder / "again" / name) == rows


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [
    b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000, b"\xff", b"\x00", b"null", b"\n\n", b'"\\ud800"',
    b'{"value": NaN}', b'{"value": 1e999}'])
def test_lines_that_are_no_rows(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert not accepted(lambda: read(tmp_path / name))


READERS = {"outcomes/xnli/test-en.tsv": read_outcomes, "predictions/xnli/test-en.tsv": read_predictions,
           "certified/word_embeddings-0.02/xnli/test-en.tsv": read_certificates}


@fuzzed(150)
@given(st.sampled_from(list(READERS)), st.data())
@example("outcomes/xnli/test-en.tsv", b"99999999999999999999\t1\n")
@example("outcomes/xnli/test-en.tsv", b"0\t99999999999999999999\n")
@example("outcomes/xnli/test-en.tsv", b"9" * 5000 + b"\t1\n")
@example("certified/word_embeddings-0.02/xnli/test-en.tsv", b"99999999999999999999\ta\t1\t0.5\n")
@example("certified/word_embeddings-0.02/xnli/test-en.tsv", b"9" * 5000 + b"\ta\t1\t0.5\n")
@example("predictions/xnli/test-en.tsv", b"\xff\n")
def test_files_per_example(runs: Path, name: str, data: Any) -> None:
    good = (runs / "plain" / "eval" / name).read_bytes()
    content = data if isinstance(data, bytes) else data.draw(st.one_of(damaged_bytes(good), st.binary(max_size=40)))
    with scratch() as folder:
        (folder / "file.tsv").write_bytes(content)
        accepted(lambda: READERS[name](folder / "file.tsv"))


def reported(place: Path) -> None:
    """Everything of a report but the drawing of its pages, which takes most of the time."""
    loaded = read_runs([place / "plain", place / "pgd"])
    build(compute(loaded))


@fuzzed(25)
@given(st.sampled_from(FILES), st.data())
def test_reports_on_damaged_rows(runs: Path, name: str, data: st.DataObject) -> None:
    rows = data.draw(damaged_tree(rows_of(runs / "plain" / "eval" / name), EXTREME, alike=True))
    with scratch() as folder:
        shutil.copytree(runs, folder / "runs")
        (folder / "runs" / "plain" / "eval" / name).write_bytes(written(rows))
        try:
            accepted(lambda: reported(folder / "runs"))
        finally:
            plt.close("all")


@fuzzed(4)
@given(st.sampled_from(FILES), st.data())
def test_whole_reports_on_damaged_rows(runs: Path, name: str, data: st.DataObject) -> None:
    """Through the command line: a whole report, or no trace of one."""
    rows = data.draw(damaged_tree(rows_of(runs / "plain" / "eval" / name), EXTREME, alike=True))
    with scratch() as folder:
        shutil.copytree(runs, folder / "runs")
        (folder / "runs" / "plain" / "eval" / name).write_bytes(written(rows))
        out = folder / "out" / "report"
        code = run_command(main, ["report", str(folder / "runs/plain"), str(folder / "runs/pgd"), "--out", str(out)])
        assert (out / "report.html").is_file() == (code == 0)
        assert out.parent.exists() == (code == 0)
        plt.close("all")


@pytest.mark.parametrize("where", ["../../run.json", "/etc/passwd", "..", "a\0b", "", "a//b", "./a", "a\\b", "a/../b"])
def test_paths_in_rows_stay_inside(runs: Path, tmp_path: Path, where: str) -> None:
    rows = rows_of(runs / "plain" / "eval" / RESULTS_FILE)
    for key in ("outcomes", "predictions"):
        (tmp_path / RESULTS_FILE).write_bytes(written([rows[0] | {key: where}]))
        assert accepted(lambda: read_rows(tmp_path / RESULTS_FILE)) is None


@pytest.mark.parametrize("part", ["outcomes", "outcomes/xnli", "outcomes/xnli/test-en.tsv"])
def test_links_in_a_run_do_not_lead_out_of_it(runs: Path, tmp_path: Path, part: str) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    inside = tmp_path / "runs" / "plain" / "eval" / part
    inside.rename(tmp_path / "elsewhere")
    inside.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Exception, match="leads out"):
        reported(tmp_path / "runs")


@pytest.mark.parametrize("kind", ["file", "empty", "no eval", "eval is a file", "rows are a folder", "loop"])
def test_folders_that_are_no_runs(tmp_path: Path, kind: str) -> None:
    run = tmp_path / "run"
    match kind:
        case "file":
            run.touch()
        case "empty" | "no eval":
            run.mkdir()
        case "eval is a file":
            run.mkdir()
            (run / "eval").touch()
        case "rows are a folder":
            (run / "eval" / RESULTS_FILE).mkdir(parents=True)
        case "loop":
            run.symlink_to(run)
    for words in (["report", str(run)], ["evaluate", str(run), "--tasks", "xnli"], ["export", str(run)]):
        assert run_command(main, [*words, *([] if words[0] == "evaluate" else ["--out", str(tmp_path / "out")])]) == 2
    assert not (tmp_path / "out").exists()
