"""Progress of a run, from its own files: state, step, remaining time, last score.

Damaged files are passed over, since a run that is being written may be looked at at any time.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.base.errors import InputError
from data_prep.base.files import read_json
from data_prep.base.lock import holder
from trainer.config.load import read_yaml
from trainer.metrics import METRICS
from trainer.results.numbers import duration, scale_of
from trainer.runs.folder import CONFIG, DONE, FAILED
from trainer.runs.record import RunRecord, read_record

TAIL_BYTES = 65_536
RUNNING = "running"


@dataclass(frozen=True)
class Standing:
    """Progress of a run, in words; empty where unknown."""

    state: str
    step: str = ""
    eta: str = ""
    dev: str = ""
    """Score that selected the checkpoint so far, else the last one, else the loss."""


def standing(run: Path) -> Standing:
    """Progress of the run in `run`."""
    record, rows, config = read_record(run), list(last_rows(run)), config_of(run)
    state = _state(run, record, rows)
    steps = record.max_steps if record else None
    done = read_json(run / DONE).get("step") or last_step(rows)
    chosen = record.selection if record else None
    dev = last_metric(config, rows)
    if chosen is not None and chosen.value is not None and chosen.cell and chosen.metric in METRICS:
        dev = _score(f"{chosen.metric}/{chosen.cell}", chosen.value)
    return Standing(state, f"{done or 0}/{steps}" if steps else "",
                    eta(config, rows, done or 0, steps) if state == RUNNING and steps else "", dev)


def _state(run: Path, record: RunRecord | None, rows: Sequence[Mapping[str, Any]]) -> str:
    """done (and whether at chance), collapsed, diverged, running, or not finished and since when."""
    if record is not None and record.status in FAILED:
        return record.status
    if (run / DONE).exists():
        return "done, at chance" if record is not None and record.at_chance else "done"
    last = f", last step {age(run)} ago" if rows else ""
    if (owner := holder(run)) is not None:
        return f"{RUNNING} on {owner.host}{last}" if owner.elsewhere else RUNNING
    return f"not finished{last}"


def age(run: Path) -> str:
    """Time since a run's last line of metrics."""
    return duration(time.time() - (run / "metrics.jsonl").stat().st_mtime)


def last_rows(run: Path) -> Iterator[dict[str, Any]]:
    """Last readable lines of metrics.jsonl, oldest first; each has a whole "step"."""
    try:
        with (run / "metrics.jsonl").open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and isinstance(row.setdefault("step", row.get("update")), int):
            yield row


def last_step(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """The last step that was logged."""
    return max((row["step"] for row in rows), default=None)


def last_metric(config: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Latest dev score of the selection cell, else of the English or the first cell, else the loss."""
    for row in reversed(rows):
        dev = {key.removeprefix("dev/"): value for key, value in row.items()
               if key.startswith("dev/") and isinstance(value, float | int)}
        if dev:
            selected = config.get("data", {}).get("select_on")
            name = next((key for key in dev if selected and key.endswith(selected)),
                        next((key for key in dev if key.endswith("/en")), next(iter(dev))))
            return _score(name, dev[name])
    losses = [row["train/loss"] for row in rows if row.get("train/loss") is not None]
    return f"loss {losses[-1]:.4g}" if losses else ""


def _score(name: str, value: float) -> str:
    """A score by METRIC/CELL, for people."""
    metric, _, cell = name.partition("/")
    shown = scale_of(metric).with_unit(value) if metric in METRICS else f"{value:.4g}"
    return f"{metric} {cell} {shown}"


def eta(config: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], done: int, steps: int) -> str:
    """Remaining time at the last measured speed."""
    speeds = [row["speed/examples_per_second"] for row in rows if row.get("speed/examples_per_second")]
    size = config.get("batch", {}).get("size")
    return duration((steps - done) * size / speeds[-1]) if speeds and size else ""


def config_of(run: Path) -> dict[str, Any]:
    """The run's recipe as it is in its file, unchecked; empty where it cannot be read."""
    try:
        return read_yaml(run / CONFIG)
    except InputError:
        return {}
