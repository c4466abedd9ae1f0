"""What two ranks do to each other: one hangs, one finds its disk full, one is asked to leave while a save goes on."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.chaos.ranks import Ranks, start
from tests.trainer.small_runs import metrics_of
from trainer.checkpoint import layout


def command(recipe: Path, name: str, *more: str) -> list[str]:
    return ["train", str(recipe), f"--name={name}", "--engine.config=zero2", "--schedule.max_steps=12",
            "--evaluation.every_steps=12", *more]


def until(there: Path, ranks: Ranks) -> None:
    end = time.monotonic() + 120
    while not there.exists():
        assert time.monotonic() < end, ranks.said()
        time.sleep(0.02)


def test_a_rank_that_hangs_ends_the_run_with_a_word(recipe: Path, tmp_path: Path) -> None:
    ranks = start(2, command(recipe, "hang", "--engine.timeout_seconds=8"), tmp_path,
                  {"hang": {"step": 8, "rank": 1}})
    assert ranks.processes[0].wait(timeout=120) == 76, ranks.said()
    ranks.kill()
    ranks.wait()
    said = ranks.logs[0].read_text(encoding="utf-8")
    assert "error: another rank has died, or has not answered for 8 s" in said
    assert "Traceback" not in said
    again = start(2, command(recipe, "hang"), tmp_path)
    assert again.wait() == [0, 0], again.said()
    assert "resumed after step 6" in again.said()


def test_a_full_disk_on_one_rank_ends_both_with_a_line_each(recipe: Path, tmp_path: Path) -> None:
    ranks = start(2, command(recipe, "full"), tmp_path, {"full_disk": {"write": 200, "rank": 1}})
    codes = ranks.wait()
    first, second = (log.read_text(encoding="utf-8") for log in ranks.logs)
    assert codes == [76, 2], ranks.said()
    assert "No space left on device; the last whole checkpoint is untouched" in second
    assert "error: another rank has died" in first
    assert "Traceback" not in first + second
    (*_, kept) = layout.complete_checkpoints(recipe.parent / "runs/full")
    again = start(2, command(recipe, "full"), tmp_path)
    assert again.wait() == [0, 0], again.said()
    assert f"resumed after step {layout.step_of(kept)}" in again.said()


def test_signals_during_a_save_do_not_break_it(recipe: Path, tmp_path: Path) -> None:
    whole = start(2, command(recipe, "whole"), tmp_path)
    assert whole.wait() == [0, 0], whole.said()
    ranks = start(2, command(recipe, "asked"), tmp_path, {"slow_write": 1.0})
    folder = recipe.parent / "runs/asked"
    until(folder / "metrics.jsonl", ranks)
    ranks.processes[1].send_signal(signal.SIGUSR1)
    asked = time.monotonic()
    while ranks.processes[0].poll() is None and time.monotonic() < asked + 60:
        for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGUSR1):
            ranks.kill(number)
        time.sleep(0.05)
    assert ranks.wait() == [75, 75], ranks.said()
    assert "the same command resumes from there" in ranks.said()
    again = start(2, command(recipe, "asked"), tmp_path)
    assert again.wait() == [0, 0], again.said()
    assert "resumed after step" in again.said()
    assert metrics_of(folder) == metrics_of(recipe.parent / "runs/whole")


def test_of_two_trainings_of_one_run_the_second_leaves(recipe: Path, tmp_path: Path) -> None:
    first = start(1, command(recipe, "two"), tmp_path, {"hang": {"step": 8, "rank": 0}})
    until(recipe.parent / "runs/two/metrics.jsonl", first)
    second = start(1, command(recipe, "two"), tmp_path)
    assert second.wait() == [2]
    (line,) = [line for line in second.said().splitlines() if line.startswith("error")]
    assert f"is in use by another process (train, process {first.processes[0].pid} on " in line
    first.kill()
    first.wait()
    third = start(1, command(recipe, "two"), tmp_path)
    assert third.wait() == [0], third.said()


def test_a_nan_on_one_rank_skips_the_update_on_both(recipe: Path, tmp_path: Path) -> None:
    ranks = start(2, command(recipe, "nan"), tmp_path, {"not_finite": [5, 6]})
    assert ranks.wait() == [0, 0], ranks.said()
    events = [line for line in metrics_of(recipe.parent / "runs/nan") if "event" in line]
    assert [(event["event"], event["step"]) for event in events] == [("skipped_step", 5), ("skipped_step", 6)]
    assert sorted(len(ids) for ids in events[0]["example_ids"]) == [4, 4]
