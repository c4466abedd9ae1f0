"""Reports: what runs did in every language, how far that can be trusted, as Markdown, HTML, CSV and TensorBoard.

Reads `<run>/eval/results.jsonl` and the files it names, and `diagnostics.jsonl` where there is one; no model code, so
it runs on a laptop.
Command: ``python -m trainer report runs/plain-s1 runs/pgd-s1 --out report``
"""

from __future__ import annotations

from pathlib import Path

from data_prep.base.errors import InputError


def report(*runs: str, out: str = "report", pool: str | None = None) -> int:
    """Compare evaluated runs: tables, intervals and figures in --out.

    RUNS are run directories that were evaluated. Runs of one label whose recipes differ in more than the seed get rows
    of their own; --pool label averages them all the same, and says so. Raises InputError for no run, a run that was not
    evaluated, runs that were scored on unlike rows, and an --out that holds something else than a report.
    """
    from trainer.report.render import terminal  # here, so that other commands start without matplotlib
    from trainer.report.write import write_report

    if not out.strip():
        raise InputError("--out is empty; expected a folder")
    if pool not in (None, "label"):
        raise InputError(f"--pool takes 'label' only, found {pool!r}; leave it out to keep unlike recipes apart")
    summary = write_report([Path(run) for run in runs], Path(out), pool)
    terminal.show(summary.tables, summary.findings)
    for name, path in (("page", summary.html), ("Markdown", summary.markdown), ("rows", summary.csv)):
        print(f"{name + ':':<13}{path}")
    print(f"TensorBoard: tensorboard --logdir {summary.tensorboard}" if summary.tensorboard
          else "TensorBoard: not written, tensorboard is not installed")
    return 0
