"""Writes a report: report.md, report.html, results.csv, figures/ (SVG, and CSV of their numbers) and tensorboard/.

Input: evaluated run directories. Everything is computed and written to a temporary folder beside the target first, so
that bad input leaves no trace and no report is incomplete; meanwhile the target is locked. Output is deterministic,
TensorBoard's event files included.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.base.errors import InputError
from data_prep.base.lock import held_beside, working_path
from trainer.plots.style import to_svg
from trainer.report.build import build, main_tables
from trainer.report.data.compute import compute
from trainer.report.data.runs import Run, read_runs
from trainer.report.document import Document, Table
from trainer.report.render import csv_rows, html, markdown
from trainer.report.render import tensorboard as events

FILES = ("report.md", "results.csv", "report.html")  # the page last, so that where it is, all is
FOLDERS = (markdown.FIGURES, "tensorboard")
UNFINISHED = ".unfinished"  # there while files are moved: an incomplete report may be replaced


@dataclass(frozen=True)
class ReportSummary:
    """Paths of a report, and its part for the terminal."""

    markdown: Path
    html: Path
    csv: Path
    tensorboard: Path | None
    """None where tensorboard is not installed."""
    tables: list[Table]
    findings: list[str]
    missing: int
    """Cells that some run has and another lacks."""


def write_report(runs: Sequence[Path], out: Path, pool: str | None = None) -> ReportSummary:
    """Compare `runs` and write the report to the folder `out`, in place of an earlier report there.

    `pool`: see `runs.read_runs`. Raises InputError, before anything is written, for runs that cannot be read (there
    too), or an `out` that holds something else than a report or that another process is writing.
    """
    check_target(out)
    loaded = read_runs(runs, pool)
    with held_beside(out, "report"):
        return _write(loaded, out)


def _write(loaded: Sequence[Run], out: Path) -> ReportSummary:
    result = compute(loaded)
    document = build(result)
    has_events = publish(document, out, csv_rows.render(loaded),
                         lambda folder: events.write(folder, document, events.records_of(result.sections)))
    return ReportSummary(
        markdown=out / "report.md",
        html=out / "report.html",
        csv=out / "results.csv",
        tensorboard=out / "tensorboard" if has_events else None,
        tables=main_tables(result),
        findings=[*([document.answer] if document.answer else []), *document.details, *document.findings],
        missing=len(result.missing),
    )


def publish(document: Document, out: Path, rows: str, write_events: Callable[[Path], bool]) -> bool:
    """Write the files of a report to the folder `out`, in place of an earlier report there; `check_target` comes first.

    rows: text of results.csv. write_events: writes event files to a folder; False where it cannot, as is returned.
    """
    drawings = [drawing for _, drawing in document.drawings()]
    svgs = {(drawing.name, narrow): to_svg(drawing.draw(narrow), f"{drawing.name}{'-narrow' * narrow}")
            for drawing in drawings for narrow in (False, True)}
    data = {drawing.name: csv_rows.table(drawing.data) for drawing in drawings if drawing.data}
    with working_path(out, "report") as temporary:
        temporary.mkdir()
        (temporary / markdown.FIGURES).mkdir()
        for (name, narrow), svg in svgs.items():
            if not narrow:
                (temporary / markdown.FIGURES / f"{name}.svg").write_text(svg, encoding="utf-8")
        for name, text in data.items():
            (temporary / markdown.FIGURES / f"{name}.csv").write_text(text, encoding="utf-8")
        (temporary / "report.md").write_text(markdown.render(document), encoding="utf-8")
        (temporary / "report.html").write_text(html.render(document, svgs, data), encoding="utf-8")
        (temporary / "results.csv").write_text(rows, encoding="utf-8")
        has_events = write_events(temporary / "tensorboard")
        _move(temporary, out)
    return has_events


def check_target(out: Path) -> None:
    """Raise InputError for a folder that is no report: a run directory has a `tensorboard/` too."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; expected a new folder, an empty one, or an earlier report")
    ours = (out / "report.html").is_file() or (out / UNFINISHED).is_file()
    if out.is_dir() and any(out.iterdir()) and not ours:
        raise InputError(f"--out {out} holds other files and no report.html; "
                         f"expected a new folder, an empty one, or an earlier report: choose another --out")


def _move(temporary: Path, out: Path) -> None:
    """Move the finished files to `out`; other files beside an earlier report stay."""
    out.mkdir(exist_ok=True)
    (out / UNFINISHED).touch()
    for folder in FOLDERS:
        if (out / folder).exists():
            shutil.rmtree(out / folder)
        if (temporary / folder).exists():
            os.replace(temporary / folder, out / folder)
    for name in FILES:
        os.replace(temporary / name, out / name)
    (out / UNFINISHED).unlink()
