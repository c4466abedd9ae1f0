"""Renderers: escaping, a page that loads nothing, TensorBoard events, tables in the terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from data_prep.base import cli
from tests.trainer.report.synthetic_runs import draw, make_runs, row
from trainer.report import report
from trainer.report.document import Entry, Table
from trainer.report.render.terminal import show
from trainer.report.write import write_report
from trainer.results.scores import RESULTS_FILE, merge_rows


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
