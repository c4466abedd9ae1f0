"""`study run` killed at random moments, the runner alone or its nodes too, and started again: the same report.

    python -m pytest tests/chaos/test_studies.py -m full      ten kills
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.trainer.studies.small_study import results_of, write_source, write_study
from trainer.studies.local import ROOT
from trainer.studies.states import endings, read_graph


def start(out: Path, words: list[str]) -> subprocess.Popen[bytes]:
    """`study run` in `out`, in a process group of its own."""
    with (out.parent / f"{out.name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "trainer", "study", "run", *words, "--out", str(out), "--parallel", "2"], cwd=ROOT,
            env=os.environ | {"DS_ACCELERATOR": "cpu"}, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)


def report_of(out: Path) -> dict[str, bytes]:
    """Files of the report."""
    return {str(path.relative_to(out)): path.read_bytes().replace(bytes(out), b"OUT")
            for path in sorted((out / "report").rglob("*")) if path.is_file() and "tfevents" not in path.name}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.full)])
def test_killed_at_random_moments(kills: int, tmp_path: Path) -> None:
    words = [str(write_study(tmp_path / "study")), *write_source(tmp_path)]
    whole, killed, draw = tmp_path / "whole", tmp_path / "killed", random.Random(16)
    begun = time.monotonic()
    assert start(whole, words).wait(300) == 0, (tmp_path / "whole.log").read_text()
    seconds = time.monotonic() - begun
    for number in range(kills):
        runner = start(killed, words)
        with suppress(subprocess.TimeoutExpired):
            runner.wait(draw.uniform(0.05, 0.4) * seconds)
        nodes = psutil.Process(runner.pid).children(recursive=True) if runner.poll() is None else []
        if number % 2:
            for node in nodes:
                with suppress(psutil.NoSuchProcess):
                    node.kill()
        if runner.poll() is None:
            os.killpg(runner.pid, signal.SIGKILL)
        runner.wait()
        _, alive = psutil.wait_procs(nodes, timeout=20)
        assert not alive, "nodes end with their runner"
    assert start(killed, words).wait(300) == 0, (tmp_path / "killed.log").read_text()
    graph = read_graph(killed)
    ended = endings(killed, graph.nodes.values())
    assert {ending.state for ending in ended.values()} == {"done"}
    assert len(ended) == len(graph.nodes) == 6
    assert len(results_of(whole)) == 2
    assert results_of(killed) == results_of(whole)
    assert report_of(killed) == report_of(whole)
