"""`train --then evaluate`: the evaluation of a finished run follows, in a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from data_prep.base.errors import InputError
from tests.random_cells import write_random_cell
from tests.trainer.small_runs import launcher_variables_kept, tree_of
from trainer.config import load_recipe
from trainer.distributed.preemption import EXIT_REQUEUE
from trainer.runs import then
from trainer.runs.next_command import without_scores
from trainer.runs.record import read_record
from trainer.train import train

SHORT = {"schedule.max_steps": "2", "name": "short"}


@pytest.mark.slow  # a process that imports torch
def test_a_finished_run_is_evaluated(recipe: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = recipe.parent / "runs" / "short"
    with launcher_variables_kept():
        assert train(str(recipe), then="evaluate", **SHORT) == 0
    assert f"then: python -m trainer evaluate {run} --tasks xnli --splits dev\n" in capfd.readouterr().out
    rows = (run / "eval" / "results.jsonl").read_text(encoding="utf-8")
    assert '"language": "de"' in rows


def test_what_follows_is_the_recipe_s_own_evaluation(recipe: Path, monkeypatch: pytest.MonkeyPatch,
                                                     capfd: pytest.CaptureFixture[str]) -> None:
    run, suite = recipe.parent / "runs" / "short", {"evaluation.suite": "xtreme"}
    ran: list[str] = []
    monkeypatch.setattr("trainer.train.run_command", lambda command: ran.append(command) or 5)
    with launcher_variables_kept():
        assert train(str(recipe), then="evaluate", **SHORT, **suite) == 5
        before = tree_of(run)
        assert train(str(recipe), then="evaluate", **SHORT, **suite) == 5  # done, and evaluated again
        assert train(str(recipe), **SHORT) == 0  # a suite changes nothing that is learned: the same run
    assert ran == [f"python -m trainer evaluate {run} --suite xtreme"] * 2
    said = capfd.readouterr().out
    assert f"{run} is done; nothing to do but to evaluate\n" in said
    assert said.endswith(f"{run} is done; nothing to do\nnext: {ran[0]}\n")
    assert tree_of(run) == before


def test_cells_without_labels_are_said_before_training(recipe: Path, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    shards, run = tmp_path / "shards", recipe.parent / "runs" / "short"
    shutil.copytree(load_recipe(str(recipe)).data.shards, shards)
    write_random_cell(shards, "xnli/test/de", 20, labelled=False)
    write_random_cell(shards, "xnli/test/en", 20)
    monkeypatch.setattr("trainer.train.run_command", lambda command: 0)
    with launcher_variables_kept():
        assert train(str(recipe), then="evaluate", **SHORT, **{"data.shards": str(shards)}) == 0
    said = (run / "train.log").read_text(encoding="utf-8")
    line = (f"xnli/test has no labels in de: an evaluation writes predictions there, and no scores; for scores on dev: "
            f"python -m trainer evaluate {run} --tasks xnli --splits dev\n")
    assert line in said
    assert said.index(line) < said.index(" 1/2 ")
    record = read_record(run)
    assert record is not None
    assert not without_scores(run, record.model_copy(update={"suite": "xtreme"}), shards)
    write_random_cell(shards, "text/test/en", 20, kind="mlm")  # which has no labels, and is scored
    assert not without_scores(run, record.model_copy(update={"dev_cells": {"text/dev/en": {}}}), shards)


def test_only_evaluate_can_follow(recipe: Path) -> None:
    with pytest.raises(InputError, match="--then takes nothing or evaluate, found 'report'"):
        train(str(recipe), then="report", **SHORT)
    assert not (recipe.parent / "runs").exists()


def test_exit_code_and_environment_of_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("RANK", "0")
    code = "import os, sys; sys.exit(41 + ('WORLD_SIZE' in os.environ or 'RANK' in os.environ))"
    assert then.run_command(f'python -c "{code}"') == 41


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_what_follows_and_asks_for_a_requeue(number: int) -> None:
    threading.Timer(0.5, os.kill, (os.getpid(), number)).start()
    begun = time.monotonic()
    assert then.run_command('python -c "import time; time.sleep(50)"') == EXIT_REQUEUE
    assert time.monotonic() - begun < 20


def test_a_suite_is_no_part_of_what_a_run_is_named_by() -> None:
    assert load_recipe("xnli_plain", {"evaluation.suite": "xtreme"}).name == "xnli_plain-seed0"
