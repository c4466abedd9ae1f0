"""Progress of a training: a bar on a terminal, else lines at even intervals; and a line for every evaluation.

Both show the step, the loss, the speed, and the time left at the mean speed of this life of the run, evaluations
included. train.log has the lines in either case.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from statistics import fmean
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from trainer.results.numbers import duration, scale_of
from trainer.runs.log import FILE_ONLY
from trainer.runs.terminal import BarConsole, is_terminal

REFRESH_SECONDS = 0.2
LINE_SECONDS = 30.0  # about this long between two lines, and
FEWEST_LINES = 10  # at least so many in a run
_log = logging.getLogger(__name__)


class Progress:
    """Context of the progress of one run; shows nothing unless `active`, as on the main rank."""

    def __init__(self, max_steps: int, done: int = 0, log_every: int = 1, *, active: bool = True) -> None:
        """done: steps of earlier lives. log_every: steps between two calls of `training`."""
        self._max_steps, self._first, self._log_every, self._active = max_steps, done, log_every, active
        self._began = time.monotonic()
        self._refreshed = -math.inf
        self._interval = 0  # steps between two lines, once the speed is known
        self._windows = 0
        self._bar: Bar | None = None
        self._task = TaskID(0)
        # Of the evaluation under way: step, rows in all, rows done; when it began, and when a line on it was written.
        self._step, self._rows, self._rows_done = 0, 0, 0
        self._evaluation_began = self._told = 0.0

    def __enter__(self) -> Progress:
        if self._active and is_terminal():
            # Drawn by this thread alone: one of its own would take time from training, and locks into forked loaders.
            self._bar = Bar(TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.fields[text]}"),
                            console=BarConsole(highlight=False), auto_refresh=False, transient=True, expand=True)
            self._bar.start()
            self._task = self._bar.add_task("training", total=self._max_steps, completed=self._first, text="",
                                            measured="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def step(self, step: int) -> None:
        """Move the bar, at most five times a second."""
        if self._bar is not None and time.monotonic() - self._refreshed > REFRESH_SECONDS:
            self._draw(step)

    def training(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Show loss and speed; in lines, at even intervals of steps, and after the first and the last step."""
        if not self._active:
            return
        loss, speed = metrics.get("train/loss") or 0, metrics["speed/examples_per_second"] or 0
        measured = f"loss {loss:.4f}  {speed:.0f} examples/s"
        if self._bar is not None:
            self._draw(step, measured=measured)
        self._windows += 1
        if self._windows == 2:  # the first one includes the building of kernels
            self._interval = self._even_interval(step)
        last = step == self._max_steps
        if self._windows == 1 or last or (self._interval and step % self._interval == 0):
            percent, left = 100 * step / self._max_steps, "" if last else f"  {self._left(step)}"
            _log.info("step %6d/%d  %5.1f %%  %s%s", step, self._max_steps, percent, measured, left,
                      extra=FILE_ONLY if self._bar is not None else None)

    def evaluating(self, step: int, rows: int) -> None:
        """Show that the dev cells, of `rows` rows together, are predicted now."""
        self._step, self._rows, self._rows_done = step, rows, 0
        self._evaluation_began = self._told = time.monotonic()
        if self._bar is not None:
            self._draw(step, description="evaluating")

    def evaluated(self, rows: int) -> None:
        """Show how far the evaluation has come, `rows` more than before; in lines, only of one that takes long."""
        self._rows_done = min(self._rows, self._rows_done + rows)
        now = time.monotonic()
        seconds = (now - self._evaluation_began) / max(1, self._rows_done) * (self._rows - self._rows_done)
        text = f"{self._rows_done:,}/{self._rows:,} rows  {duration(seconds)} left"
        if self._bar is not None and now - self._refreshed > REFRESH_SECONDS:
            self._bar.update(self._task, text=text, refresh=True)
            self._refreshed = now
        elif self._active and self._bar is None and now - self._told > LINE_SECONDS:
            _log.info("step %6d/%d  evaluating %s", self._step, self._max_steps, text)
            self._told = now

    def evaluation(self, step: int, metric: str, values: Mapping[str, float]) -> None:
        """Log the values of all dev cells, by language, by task too if there are several, and their mean."""
        if not self._active:
            return
        several, scale = len({name.split("/")[0] for name in values}) > 1, scale_of(metric)
        shown = [f"{name.split('/')[0] + '/' if several else ''}{name.split('/')[-1]} {scale.value(value)}"
                 for name, value in values.items()]
        if len(values) > 1:
            shown.append(f"mean {scale.value(fmean(values.values()))}")
        _log.info("step %6d/%d  dev %s: %s", step, self._max_steps, scale.column, "  ".join(shown))
        if self._bar is not None:
            self._draw(step, description="training")

    def _draw(self, step: int, **fields: Any) -> None:
        if self._bar is None:
            return
        self._bar.update(self._task, completed=step, **fields)
        parts = (f"{step}/{self._max_steps}", self._bar.tasks[0].fields["measured"], self._left(step))
        self._bar.update(self._task, text="  ".join(filter(None, parts)), refresh=True)
        self._refreshed = time.monotonic()

    def _left(self, step: int) -> str:
        """Time left, at the mean speed so far."""
        done = step - self._first
        seconds = (time.monotonic() - self._began) / done * (self._max_steps - step) if done > 0 else None
        return "" if seconds is None else f"{duration(seconds)} left"

    def _even_interval(self, step: int) -> int:
        """Steps between two lines: 1, 2 or 5 times a power of ten, of the steps that are logged."""
        per_second = (step - self._first) / max(1e-9, time.monotonic() - self._began)
        most = max(1.0, min(LINE_SECONDS * per_second, self._max_steps / FEWEST_LINES) / self._log_every)
        power = int(10 ** math.floor(math.log10(most)))
        return self._log_every * max(factor * power for factor in (1, 2, 5) if factor * power <= most)
