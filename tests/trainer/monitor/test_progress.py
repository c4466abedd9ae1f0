"""Progress of a training run: lines at even intervals, a bar on a terminal."""

from __future__ import annotations

import io
import logging
import re
import sys
import time
from pathlib import Path

import pytest

from trainer.monitor.progress import Progress
from trainer.runs.log import run_log

METRICS = {"train/loss": 0.51234, "speed/examples_per_second": 64.0}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Time that passes as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def trained(progress: Progress, clock: Clock, steps: int, seconds: float, first: int = 0, every: int = 10) -> None:
    for step in range(first + 1, steps + 1):
        clock.now += seconds
        progress.step(step)
        if step % every == 0 or step == steps:
            progress.training(step, METRICS)


def test_scores_are_in_percent_with_their_mean(caplog: pytest.LogCaptureFixture) -> None:
    """The span F1 of a model that names no span is 0, which was once left out of the line."""
    with caplog.at_level(logging.INFO):
        Progress(24).evaluation(12, "span_f1", {"panx/dev/en": 0.0, "panx/dev/sw": 0.25})
        Progress(24).evaluation(12, "perplexity", {"text/dev/en": 31.46})
        Progress(24, active=False).evaluation(12, "accuracy", {"xnli/dev/en": 0.5})
    assert caplog.messages == ["step     12/24  dev span f1 (%): en 0.0  sw 25.0  mean 12.5",
                               "step     12/24  dev perplexity: en 31.46"]


def test_long_evaluations_have_lines_in_a_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock(monkeypatch)
    with caplog.at_level(logging.INFO), Progress(20) as progress:
        progress.evaluating(2, 10_000)
        for _ in range(5):
            clock.now += 20.0
            progress.evaluated(2000)
    assert caplog.messages == ["step      2/20  evaluating 4,000/10,000 rows  60 s left",
                               "step      2/20  evaluating 8,000/10,000 rows  20 s left"]


@pytest.mark.parametrize(("seconds", "steps", "first", "interval"), [
    (0.01, 1000, 0, 100),  # 10 s in all: a tenth
    (0.4, 5000, 0, 50),  # 30 s are 75 steps
    (9.0, 300, 100, 10),  # slower than a line per 30 s: every step that is logged
])
def test_lines_come_at_even_intervals(seconds: float, steps: int, first: int, interval: int,
                                      monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock(monkeypatch)
    with caplog.at_level(logging.INFO), Progress(steps, first, 10) as progress:
        trained(progress, clock, steps, seconds, first)
    shown = [int(found[1]) for line in caplog.messages if (found := re.match(r"step +(\d+)/", line))]
    even = {step for step in range(first + 20, steps + 1) if step % interval == 0}
    assert shown == sorted({first + 10, *even, steps})
    middle = next(line for line in caplog.messages if f"{steps // 2}/" in line)
    assert middle.split()[2:] == ["50.0", "%", "loss", "0.5123", "64", "examples/s", *middle.split()[-3:]]
    left = seconds * steps / 2
    assert middle.endswith(f"  {left:.0f} s left" if left < 99 else f"  {left / 60:.0f} min left")


def test_a_bar_on_a_terminal_and_the_lines_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, out = Clock(monkeypatch), Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with run_log(is_main=True) as log:
        log.open(tmp_path)
        with Progress(100, 0, 10) as progress:
            trained(progress, clock, 50, 0.5)
            progress.evaluating(50, 12_450)
            for _ in range(4):
                clock.now += 20.0
                progress.evaluated(3200)
            progress.evaluation(50, "accuracy", {"xnli/dev/en": 0.5})
    frames = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip() for line in re.split(r"[\r\n]+", out.getvalue())]
    bars = [frame for frame in frames if frame.startswith(("training", "evaluating"))]
    assert re.fullmatch(r"training [━╸╺ ]+ 50/100  loss 0\.5123  64 examples/s  2 min left", bars[-1]), bars
    assert any(re.fullmatch(r"evaluating [━╸╺ ]+ 6,400/12,450 rows  38 s left", frame) for frame in bars), bars
    assert any(re.fullmatch(r"evaluating [━╸╺ ]+ 12,450/12,450 rows  0 s left", frame) for frame in bars), bars
    assert "step     50/100  dev accuracy (%): en 50.0" in frames
    assert not [frame for frame in frames if "% " in frame and "loss" in frame]
    assert "\x1b[?25l" not in out.getvalue()  # the cursor stays
    kept = (tmp_path / "train.log").read_text()
    assert "step     50/100   50.0 %  loss 0.5123  64 examples/s  25 s left" in kept
    assert "dev accuracy (%): en 50.0" in kept
