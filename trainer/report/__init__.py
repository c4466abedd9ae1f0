"""Reports: what runs did in every language, how far that can be trusted, as Markdown, HTML, CSV and TensorBoard.

Reads `<run>/eval/results.jsonl` and the files it names, and `diagnostics.jsonl` where there is one; no model code, so
it runs on a laptop.
Command: ``python -m trainer report runs/plain-s1 runs/pgd-s1 --out report``
"""

from __future__ import annotations

from pathlib import Path

from data_prep.errors import InputError


def report(*runs: str, out: str = "report") -> int:
    """Compare evaluated runs: tables, intervals and figures in --out.

    RUNS are run directories that were evaluated. Raises InputError for no run, a run that was not evaluated, and an
    --out that holds something else than a report.
    """
    from trainer.report import terminal  # here, so that other commands start without matplotlib
    from trainer.report.write import write_report

    if not out.strip():
        raise InputError("--out is empty; expected a folder")
    summary = write_report([Path(run) for run in runs], Path(out))
    terminal.show(summary.tables, summary.findings)
    for name, path in (("page", summary.html), ("Markdown", summary.markdown), ("rows", summary.csv)):
        print(f"{name + ':':<13}{path}")
    print(f"TensorBoard: tensorboard --logdir {summary.tensorboard}" if summary.tensorboard
          else "TensorBoard: not written, torch or tensorboard is not installed")
    return 0
