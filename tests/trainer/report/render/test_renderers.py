"""Renderers: escaping, a page that loads nothing, TensorBoard events, tables in the terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from data_prep.base import cli
from tests.trainer.report.synthetic_runs import draw, make_runs, row
from trainer.report import report
from trainer.report.document import Entry, Table
from trainer.report.render import latex
from trainer.report.render.terminal import show
from trainer.report.write import write_report
from trainer.results.scores import RESULTS_FILE, merge_rows


def test_names_are_escaped_everywhere(tmp_path: Path, no_events: None) -> None:
    name = "<script>alert(1)</script>|$x$ *b* _"
    rows = [row(name, 1, lang, outcomes=None) for lang in ("en", "de")]
    merge_rows(tmp_path / "r" / "eval" / RESULTS_FILE, rows)
    summary = write_report([tmp_path / "r"], tmp_path / "out")
    page = summary.html.read_text()
    assert page.count("<script") == 1  # the page's own
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    text = summary.markdown.read_text()
    assert "<script>" not in re.sub(r"\\<", "", text)
    lines = [line for line in text.splitlines() if line.startswith("| \\<")]
    assert lines
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines if "one seed" in line}) == 1


def test_page_is_self_contained(tmp_path: Path, no_events: None) -> None:
    paths = make_runs(tmp_path / "runs", labels=("plain", "pgd"))
    page = write_report(paths, tmp_path / "out").html.read_text()
    assert not re.findall(r"https?://", page)
    assert "@import" not in page
    assert not re.findall(r'(?:src|href)="(?!#|data:)', page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', page)) <= set(ids)
    assert page.count("<figure") == 1 + 2 + 2 + 1  # ranking; languages, differences; a map per label; a difference map
    assert page.count("<svg") == 2 * page.count("<figure")  # each for a page and for a phone


def test_tensorboard_has_figures_and_scalars(tmp_path: Path) -> None:
    paths = make_runs(tmp_path / "runs", labels=("plain", "pgd"), seeds=(1,), languages=("en", "de"), oracle=False)
    summary = write_report(paths, tmp_path / "out")
    assert summary.tensorboard is not None
    loaded = EventAccumulator(str(summary.tensorboard)).Reload()
    assert not loaded.Tags()["scalars"]  # pairs of languages are one image
    name = "xnli test/Accuracy by language for plain, pgd"
    assert {name, "xnli test/accuracy of pgd by premise and hypothesis language"} <= set(loaded.Tags()["images"])
    image = loaded.Images(name)[0]
    with Image.open(io.BytesIO(image.encoded_image_string)) as drawn:
        assert (drawn.format, drawn.size) == ("PNG", (image.width, image.height))
        assert 500 < image.width < 800
    run = EventAccumulator(str(summary.tensorboard / "pgd-s1")).Reload()
    scalar = run.Scalars("scores/xnli test accuracy, mean, all 2")[0].value
    assert scalar == pytest.approx(np.mean([draw("pgd", 1, lang, lang).mean() for lang in ("en", "de")]), abs=1e-6)
    assert len(run.Tags()["scalars"]) == 2
    assert "recipe" in run.Tags()["tensors"]
    first = {path: path.read_bytes() for path in summary.tensorboard.rglob("*") if path.is_file()}
    write_report(paths, tmp_path / "out")
    assert first == {path: path.read_bytes() for path in summary.tensorboard.rglob("*") if path.is_file()}


def test_tables_as_latex() -> None:
    columns = [Entry("label"), Entry("mean, all 2"), Entry("verdict")]
    rows = [[Entry("random_noise"), Entry("76.4†", "± 0.4"), Entry("not significant", tone="muted")],
            [Entry("a&b {50 %}"), Entry("78.6", "± 1.0", best=True), Entry("gain", tone="gain")]]
    text = latex.table(Table("xnli / test: accuracy (%)", columns, rows, ["−0.3 is a note."]))
    assert text.splitlines()[2:-1] == [
        r"\begin{tabular}{lrr}", r"\toprule", r"label & mean, all 2 & verdict \\", r"\midrule",
        r"random\_noise & 76.4$^\dagger$ $\pm$ 0.4 & not significant \\",
        r"a\&b \{50 \%\} & \textbf{78.6} $\pm$ 1.0 & \textbf{gain} \\", r"\bottomrule", r"\end{tabular}",
        r"\caption{xnli / test: accuracy (\%). $-$0.3 is a note.}"]


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


def test_long_names_leave_room_for_the_numbers() -> None:
    """Names of 80 characters once filled the terminal, and no number was printed."""
    name = "plain (training cells " + "squad/train/en, " * 5 + "length 384)"
    columns, values = [[Entry(text) for text in texts] for texts in (("label", "seeds", "en"), (name, "3", "76.4"))]
    table = Table("answer f1", columns, [values])
    console = Console(file=io.StringIO(), width=80)
    show([table], [], console)
    assert isinstance(console.file, io.StringIO)
    assert "76.4" in console.file.getvalue()
