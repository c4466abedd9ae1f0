"""Progress of an evaluation: cells, rows and the time left, and scores as they come.

On a terminal a bar below the lines; elsewhere a line at even intervals. The time left counts tokens, since rows of one
language may be twice as long as those of another.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from trainer.results.numbers import counted, duration

SECONDS = 30.0  # between lines where there is no terminal


class EvaluationProgress:
    """Context that shows how far an evaluation is; silent on ranks but the main one."""

    def __init__(self, name: str, cells: int, rows: int, tokens: int, active: bool) -> None:
        """rows: of all cells and ranks; tokens: of this rank, from which the rows of the others are estimated."""
        self._name, self._cells, self._rows, self._tokens = name, cells, rows, max(1, tokens)
        self._done_cells = self._done_tokens = 0
        self._begun = self._told = time.monotonic()
        self._active = active
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rows]}"), TimeRemainingColumn(),
            transient=True) if active and sys.stdout.isatty() else None
        self._task = None if self._bar is None else self._bar.add_task(
            name, total=self._tokens, rows=self._shown_rows())

    def __enter__(self) -> EvaluationProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, tokens: int) -> None:
        """Count a batch of this rank."""
        self._done_tokens += tokens
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done_tokens, rows=self._shown_rows())
        elif self._active and (now := time.monotonic()) - self._told >= SECONDS:
            self._told = now
            left = (now - self._begun) * (self._tokens / self._done_tokens - 1)
            print(f"{self._name}: {self._done_cells} of {counted(self._cells, 'cell')}, {self._shown_rows()}, "
                  f"{duration(left)} left", flush=True)

    def finished(self, cells: int, lines: Sequence[str]) -> None:
        """Count cells that are written, and show lines on them."""
        self._done_cells += cells
        for line in lines if self._active else ():
            if self._bar is not None:
                self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
            else:
                print(line, flush=True)

    def _shown_rows(self) -> str:
        return f"{int(self._rows * self._done_tokens / self._tokens):,} of {counted(self._rows, 'row')}"
