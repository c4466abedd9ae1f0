"""Reports that compare evaluated runs, with intervals, as HTML, Markdown, CSV and TensorBoard.

Reads `<run>/eval/results.jsonl`, the files that it names, and `diagnostics.jsonl` where there is one; needs neither
torch nor model code. Rooms: `data` computes, `sections` formats blocks of a document, `render` writes it.
Command: ``python -m trainer report runs/plain-s1 runs/pgd-s1 --out report``
"""

from __future__ import annotations

from pathlib import Path

from data_prep.base.errors import InputError
from trainer.results.below import is_evaluated, is_run, runs_below


def report(*runs: str, out: str = "report", pool: str | None = None) -> int:
    """Compare evaluated runs: tables, intervals and figures in --out.

    RUNS are evaluated run directories, or folders of runs, which stand for every evaluated run below them. Runs of one
    label whose recipes differ in more than the seed get separate rows; --pool label averages them regardless, with a
    note. Raises InputError for no run, a run that was not evaluated, runs scored on different rows, and an --out that
    holds anything but a report.
    """
    from trainer.report.render import terminal  # here, so that other commands start without matplotlib
    from trainer.report.write import write_report

    if not out.strip():
        raise InputError("--out is empty; expected a folder")
    if pool not in (None, "label"):
        raise InputError(f"--pool takes 'label' only, found {pool!r}; leave it out to keep unlike recipes apart")
    summary = write_report(expanded([Path(run) for run in runs]), Path(out), pool)
    terminal.show(summary.tables, summary.findings)
    for name, path in (("page", summary.html), ("Markdown", summary.markdown), ("rows", summary.csv)):
        print(f"{name + ':':<13}{path}")
    print(f"TensorBoard: tensorboard --logdir {summary.tensorboard}" if summary.tensorboard
          else "TensorBoard: not written, tensorboard is not installed")
    return 0


def expanded(paths: list[Path]) -> list[Path]:
    """`paths` with each folder of runs replaced by the evaluated runs below it; prints which are not evaluated.

    Raises InputError where none below a folder is.
    """
    found: list[Path] = []
    for path in paths:
        if is_run(path) or not path.is_dir() or not (below := runs_below(path)):
            found.append(path)  # one run, or what the report refuses
            continue
        evaluated = [run for run in below if is_evaluated(run)]
        if not evaluated:
            raise InputError(f"{path}: none of its {len(below)} runs is evaluated: run `python -m trainer evaluate "
                             f"{below[0]}` first")
        if left := [str(run) for run in below if run not in evaluated]:
            print(f"left out, not evaluated: {', '.join(left)}")
        found += evaluated
    return found
