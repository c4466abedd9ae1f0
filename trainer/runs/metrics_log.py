"""Metrics log of a run: metrics.jsonl first, then the same numbers to TensorBoard.

TensorBoard sorts groups of curves by name, hence the numbers before them: training, the mean over languages, single
languages, optimiser, speed. Its text has the recipe, its hparams the settings beside the last scores.
Only the main rank writes. Lines are flushed one by one, so that a killed run keeps what it measured.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import yaml

from data_prep.base.files import write_text
from trainer.results.below import CONFIG

if TYPE_CHECKING:
    from trainer.plots.events import EventFile

GROUPS = {"train": "1 training", "mean": "2 dev, mean over languages", "dev": "3 dev", "speed": "5 speed"}
"""Names of the groups of curves in TensorBoard, by those in metrics.jsonl and of `means_over_languages`."""
OPTIMISER = {f"train/{name}": f"4 optimiser/{name}" for name in ("learning_rate", "gradient_norm")}
"""Tags of metrics that would stand before the loss."""
# Settings of the recipe that the hparams plugin compares.
COMPARED = ("label", "seed", "optimizer.lr", "batch.size", "schedule.max_steps", "schedule.epochs", "robust.method",
            "robust.epsilon", "robust.ascent_steps", "model.dropout", "model.name")


class MetricsLog:
    """metrics.jsonl and tensorboard/ of one run; does nothing on ranks that are not the main one."""

    def __init__(self, run_dir: Path, *, active: bool, resume_from: int) -> None:
        self._file: Any = None
        self._board: EventFile | None = None
        if not active:
            return
        path = run_dir / "metrics.jsonl"
        if path.exists():
            _drop_after(path, resume_from)
        self._file = path.open("a", encoding="utf-8")
        self._folder, self._resume_from = run_dir / "tensorboard", resume_from

    def write(self, step: int, metrics: dict[str, float | None]) -> None:
        """Write `metrics` (name with its group, such as "train/loss" -> value) of this step; None is left out."""
        if self._file is None:
            return
        known = {name: value for name, value in metrics.items() if value is not None}
        # JSON has no NaN: it is written as null, so that every line stays readable.
        line = {name: value if math.isfinite(value) else None for name, value in known.items()}
        self._file.write(json.dumps({"step": step, **line}) + "\n")
        self._file.flush()
        if self._board is None:
            from trainer.plots.events import EventFile  # after the first step: slow to import

            # purge_step hides what was drawn beyond the checkpoint that the run resumes from.
            self._board = EventFile(self._folder, purge_step=self._resume_from + 1)
            _describe(self._board, self._folder.parent)
        for name, value in {**known, **means_over_languages(known)}.items():
            self._board.scalar(board_tag(name), value, step)

    def note(self, step: int, event: dict[str, Any]) -> None:
        """Write an event of this step, to metrics.jsonl only."""
        if self._file is not None:
            self._file.write(json.dumps({"step": step, **event}) + "\n")
            self._file.flush()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        for writer in (self._file, self._board):
            if writer is not None:
                writer.close()


def board_tag(name: str) -> str:
    """Tag in TensorBoard of a metric: its group with a number, then the rest."""
    group, _, rest = name.partition("/")
    return OPTIMISER.get(name) or f"{GROUPS.get(group, group)}/{rest}"


def means_over_languages(metrics: Mapping[str, float]) -> dict[str, float]:
    """Mean of the dev scores of each metric, task and split that has several languages, by a name of its own."""
    found: dict[str, list[float]] = {}
    for name, value in metrics.items():
        group, _, cell = name.rpartition("/")
        if cell and group.startswith("dev/"):
            found.setdefault(group, []).append(value)
    return {f"mean/{group.removeprefix('dev/')}, mean of {len(values)} languages": sum(values) / len(values)
            for group, values in found.items() if len(values) > 1}


def _describe(board: EventFile, run_dir: Path) -> None:
    """Recipe as text and hyper-parameters, of a run that has one."""
    path = run_dir / CONFIG
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8")
    board.text("recipe", f"```yaml\n{text}\n```")
    settings = {key: value for key, value in _leaves(yaml.safe_load(text)) if key in COMPARED}
    board.hyper_parameters(settings, run_dir.name)


def _leaves(content: Any, above: str = "") -> Iterator[tuple[str, bool | float | str]]:
    for key, value in content.items() if isinstance(content, dict) else ():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        elif value is not None:
            yield f"{above}{key}", value if isinstance(value, bool | int | float) else str(value)


def _drop_after(path: Path, step: int) -> None:
    """Drop lines of steps after `step`, and lines that cannot be read (the last one may be cut short)."""
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            if _step_of(json.loads(line)) <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    write_text(path, "".join(kept))


def _step_of(line: dict[str, Any]) -> int:
    step: int = line["step"] if "step" in line else line["update"]  # as earlier releases called it
    return step
