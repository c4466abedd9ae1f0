"""Evaluation on two ranks writes the same bytes as one process; batches are shared out by tokens."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from data_prep.base.errors import InputError
from data_prep.shards.read import open_cell
from data_prep.shards.write import write_cell
from tests.random_cells import write_random_cell
from tests.trainer.small_runs import run, write_recipe
from trainer.distributed.ranks import free_port
from trainer.evaluate import progress, sharing
from trainer.evaluate.progress import EvaluationProgress
from trainer.evaluate.run import evaluate
from trainer.evaluate.sharing import Share, rounds_of, share_out

ROOT = Path(__file__).parents[3]


def examples(*lengths: int) -> Any:
    return SimpleNamespace(lengths=np.array(lengths))


def test_every_row_is_in_one_share_and_batches_are_those_of_one_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "BATCHES_PER_RANK", 2)
    generator = np.random.default_rng(0)
    jobs = [examples(*generator.integers(4, 60, size)) for size in (9, 1, 30, 2, 2)]
    alone = list(rounds_of(jobs, 4, 1))
    assert [list(turn.jobs) for turn in alone] == [[0], [1], [2], [3], [4]]
    expected = {(share.job, tuple(share.rows)) for turn in alone for share in turn.shares[0]}
    for ranks in (2, 3):
        turns = list(rounds_of(jobs, 4, ranks))
        found = [(share.job, tuple(share.rows)) for turn in turns for own in turn.shares for share in own]
        assert sorted(found) == sorted(expected)
        assert [job for turn in turns for job in turn.jobs] == list(range(5))
        assert all(share.job in turn.jobs for turn in turns for own in turn.shares for share in own)
    assert [list(turn.jobs) for turn in rounds_of(jobs, 4, 2)] == [[0, 1], [2], [3, 4]]


def test_ranks_get_like_numbers_of_tokens() -> None:
    batches = [Share(0, np.empty(0), tokens) for tokens in (100, 60, 50, 40, 30, 20)]
    assert [[batch.tokens for batch in own] for own in share_out(batches, 2)] == [[100, 40, 20], [60, 50, 30]]
    assert [len(own) for own in share_out(batches[:2], 4)] == [1, 1, 0, 0]


def test_lines_without_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter((0.0, 10.0, 40.0, 41.0, 100.0, 0.0))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with EvaluationProgress("r: evaluating best", cells=3, rows=4000, tokens=1000, active=True) as shown:
        shown.advance(100)
        shown.advance(100)
        shown.finished(1, ["xnli/test/en  accuracy 71.3 %  (5 rows)"])
        shown.advance(300)
        shown.advance(500)
    assert capsys.readouterr().out.splitlines() == [
        "r: evaluating best: 0 of 3 cells, 800 of 4,000 rows, 3 min left", "xnli/test/en  accuracy 71.3 %  (5 rows)",
        "r: evaluating best: 1 of 3 cells, 4,000 of 4,000 rows, 0 s left"]
    with EvaluationProgress("r", cells=1, rows=1, tokens=1, active=False) as shown:
        shown.finished(1, ["a line"])
    assert capsys.readouterr().out == ""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sharing")
    shards = root / "shards"
    for name, rows in (("xnli/train/en", 60), ("xnli/dev/en", 20)):
        write_random_cell(shards, name, rows)
    for number, language in enumerate(("en", "de", "sw")):
        draft = open_cell(shards / "xnli/dev/en").manifest.model_copy(update={
            "language": language, "split": "test", "shards": [], "rows_sha256": "", "source_rows": 0})
        generator = np.random.default_rng(number)
        first, second = ([generator.integers(4, 59, size).astype(np.int32) for size in generator.integers(2, 9, 70)]
                         for _ in range(2))
        write_cell(shards / "xnli/test" / language, draft, [{
            "id": np.arange(70), "first_ids": first, "second_ids": second, "label": np.arange(70) % 3,
            "length": np.array([len(a) + len(b) + 4 for a, b in zip(first, second, strict=True)], dtype=np.int32)}])
    return run(write_recipe(root, shards), "shared")


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def launched(words: list[str]) -> str:
    port, workers = str(free_port()), []
    for rank in ("0", "1"):
        env = {**os.environ, "RANK": rank, "WORLD_SIZE": "2", "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1",
               "MASTER_PORT": port, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
        workers.append(subprocess.Popen([sys.executable, "-m", "trainer", "evaluate", *words, f"--local_rank={rank}"],
                                        cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    said = [worker.communicate(timeout=240)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    assert said[1] == "", "one rank speaks"
    return said[0]


@pytest.mark.slow
def test_two_ranks_write_the_same_bytes(finished: Path, capsys: pytest.CaptureFixture[str],
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    flags = {"tasks": "xnli", "generalized": True, "batch_size": 8}
    assert evaluate(str(finished), **flags) == 0
    alone, told = files_of(finished / "eval"), capsys.readouterr().out
    assert len(alone) > 12
    for path in (finished / "eval").rglob("*"):
        if path.is_file():
            path.unlink()
    said = launched([str(finished), "--tasks", "xnli", "--generalized", "--batch_size", "8"])
    assert files_of(finished / "eval") == alone
    assert said == told
    assert re.search(r"^xnli/test/en  accuracy \d+\.\d %  \(70 rows\)$", told, re.MULTILINE)
    assert re.search(r"^xnli/test: mean accuracy [\d.]+ % over 3 languages; without English [\d.]+ % over 2$", told,
                     re.MULTILINE)
    assert re.search(r"^xnli/test, generalized: mean accuracy [\d.]+ % over 9 pairs$", told, re.MULTILINE)


def test_smoothing_is_for_one_process(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="in one process, found 2 ranks too"):
        evaluate(str(finished), tasks="xnli", **{"smoothing.samples": "20", "smoothing.sigma": "0.1"})


def test_a_run_trained_in_bf16_is_evaluated_in_it(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    record = tmp_path / "run" / "run.json"
    record.write_text(record.read_text().replace('"precision": "fp32"', '"precision": "bf16"'))
    evaluate(str(tmp_path / "run"), tasks="xnli", languages="en")
    assert '"precision":"bf16"' in (tmp_path / "run/eval/results.jsonl").read_text().replace(": ", ":")
