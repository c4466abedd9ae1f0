"""Display of a study that runs: a bar of all nodes and one of each running node on a terminal, else lines.

A training's bar is its step, read from its run; other nodes show the time that they have taken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from data_prep.base.files import read_json
from trainer.results.numbers import duration
from trainer.runs.folder import RECORD
from trainer.runs.standing import last_rows, last_step
from trainer.runs.terminal import BarConsole, is_terminal
from trainer.studies.graph import Node

REFRESH_SECONDS = 0.5
LINE_SECONDS = 30.0  # between two lines, where there is no terminal
TRAIN = "train"


@dataclass
class _Running:
    """A node at work."""

    node: Node
    begun: float
    first: int | None = None
    """Step at which it was first seen, since when its speed is measured."""
    seen: float = 0.0
    task: TaskID | None = None


class Watch:
    """Context of the display of the study in `out`; call `draw` often."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._running: dict[str, _Running] = {}
        self._drawn = self._said = -math.inf
        self._bars: Bars | None = None
        self._all = TaskID(0)

    def __enter__(self) -> Watch:
        self._said = time.monotonic()
        if is_terminal():
            self._bars = Bars(TextColumn("  {task.description}"), BarColumn(30), TextColumn("{task.fields[text]}"),
                              console=BarConsole(highlight=False), auto_refresh=False, transient=True)
            self._bars.start()
            self._all = self._bars.add_task("all", total=1, text="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def draw(self, nodes: Collection[Node], done: int, total: int, rest: str) -> None:
        """Show the running `nodes`, and how many are `done` of all. rest: what is left, in words."""
        now = time.monotonic()
        if now - self._drawn < REFRESH_SECONDS:
            return
        self._drawn = now
        self._follow(nodes, now)
        if self._bars is not None:
            for running in self._running.values():
                if running.task is None:
                    running.task = self._bars.add_task(running.node.name, total=None, text="")
                step, steps, text = self._progress(running, now)
                self._bars.update(running.task, completed=step or 0, total=steps, text=text)
            self._bars.update(self._all, completed=done, total=total, text=f"{done}/{total} nodes  {rest}")
            self._bars.refresh()
        elif now - self._said > LINE_SECONDS and self._running:
            self._said = now
            found = ", ".join(f"{running.node.name} {self._progress(running, now)[2]}"
                              for running in self._running.values())
            print(f"  runs   {found}; {rest}", flush=True)

    def _follow(self, nodes: Collection[Node], now: float) -> None:
        names = {node.name for node in nodes}
        for name in [name for name in self._running if name not in names]:
            ended = self._running.pop(name)
            if self._bars is not None and ended.task is not None:
                self._bars.remove_task(ended.task)
        for node in nodes:
            self._running.setdefault(node.name, _Running(node, now))

    def _progress(self, running: _Running, now: float) -> tuple[int | None, int | None, str]:
        """(step, steps, words) of a node; no steps where it is no training, or has not begun."""
        taken = duration(now - running.begun)
        if running.node.kind != TRAIN:
            return None, None, taken
        run = self._out / running.node.output
        rows, steps = list(last_rows(run)), read_json(run / RECORD).get("max_steps")
        step = last_step(rows)
        if step is None or not isinstance(steps, int):
            return None, None, taken
        if running.first is None:
            running.first, running.seen = step, now
        return step, steps, "  ".join([f"{step}/{steps}", *_measured(rows), *self._left(running, step, steps, now)])

    def _left(self, running: _Running, step: int, steps: int, now: float) -> list[str]:
        done = step - (running.first or 0)
        return [f"{duration((now - running.seen) / done * (steps - step))} left"] if done > 0 else []


def _measured(rows: list[dict[str, Any]]) -> list[str]:
    """Loss and speed that were logged last."""
    found = []
    for key, text in (("train/loss", "loss {:.4f}"), ("speed/examples_per_second", "{:.0f} examples/s")):
        values = [row[key] for row in rows if isinstance(row.get(key), float | int)]
        found += [text.format(values[-1])] if values else []
    return found
