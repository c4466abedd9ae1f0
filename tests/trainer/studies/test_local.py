"""Nodes on this machine: failures, retries, shared outputs, kills; plan, status and estimates. Commands are cheap."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from data_prep.base.errors import InputError
from data_prep.base.files import write_json
from tests.trainer.studies.small_study import write_study
from trainer.studies import commands, local
from trainer.studies.commands import plan, status
from trainer.studies.estimate import Estimate
from trainer.studies.graph import CellNodes, Graph, Node
from trainer.studies.load import dump, load_study
from trainer.studies.local import Room, find_room, run_nodes
from trainer.studies.states import Ending, begin, blocked, endings, read_ending, write_ending, write_graph

ROOM = Room(2, 1)
COMMAND = "tests.trainer.studies.command"


def node(out: Path, name: str, *words: str, needs: tuple[str, ...] = (), output: str = "", kind: str = "prepare",
         examples: int | None = None, stage: str = "", method: str = "") -> Node:
    place = output or f"made/{name}"
    return Node(name, kind, f"digest of {name}", (COMMAND, str(out / place), *words), place, needs, stage=stage,
                method=method, examples=examples)


def graph_of(*nodes: Node) -> Graph:
    return Graph({node.name: node for node in nodes}, [])


def states(out: Path, graph: Graph) -> dict[str, str]:
    return {name: ending.state for name, ending in endings(out, graph.nodes.values()).items()}


def lives(out: Path, name: str) -> int:
    return sum(len(file.read_text().splitlines()) for file in (out / "made" / name).glob("lives-*"))


def ending(of: Node, state: str = "done", seconds: float = 1.0, whole: bool = True) -> Ending:
    return Ending(digest=of.digest, state=state, code=0, seconds=seconds, started="", host="", output=of.output,  # type: ignore[arg-type]
                  whole=whole)


@pytest.mark.slow  # processes, as are the next two
def test_a_failed_node_stops_what_needs_it_alone_and_is_tried_again(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """... in the next life; what is done is not done again. Two nodes with one output run one after the other."""
    graph = graph_of(node(tmp_path, "first"), node(tmp_path, "bad", "fail_once", needs=("first",)),
                     node(tmp_path, "behind", needs=("bad",)),
                     node(tmp_path, "one", "alone", output="made/shared"),
                     node(tmp_path, "two", "alone", "too", output="made/shared"))
    run_nodes(lambda failed: graph, tmp_path, ROOM)
    assert states(tmp_path, graph) == {"first": "done", "bad": "failed", "one": "done", "two": "done"}
    assert blocked(graph, endings(tmp_path, graph.nodes.values())) == {"behind"}
    said = capsys.readouterr().out
    assert "FAILED bad after" in said
    assert "exit code 1: error: no luck (all of it in " in said
    (tmp_path / "study.yaml").write_text(dump(load_study(write_study(tmp_path / "study"), "toy",
                                                         {"source": "s", "tokenizer": "t"})))
    assert status(str(tmp_path)) == 0
    said = capsys.readouterr().out
    assert "3 done, 1 failed, 1 blocked" in said
    assert "failed    bad: error: no luck\n" in said
    assert said.endswith(f"logs in {tmp_path / 'logs'}\n")

    run_nodes(lambda failed: graph, tmp_path, ROOM)
    assert set(states(tmp_path, graph).values()) == {"done"}
    assert [lives(tmp_path, name) for name in ("first", "bad", "behind")] == [1, 2, 1]


@pytest.mark.slow
def test_a_collapsed_training_is_replaced(tmp_path: Path) -> None:
    bad = node(tmp_path, "bad", "collapse", kind="train")
    first = graph_of(bad, node(tmp_path, "behind", needs=("bad",)))
    good = node(tmp_path, "good", kind="train")
    cell = CellNodes({}, 0, {"target": "good"}, {}, {"target": ["bad"]})
    second = Graph({"bad": bad, "good": good, "behind": node(tmp_path, "behind", needs=("good",))}, [cell])
    graph = run_nodes(lambda failed: second if bad.digest in failed else first, tmp_path, ROOM)
    assert graph is second
    assert states(tmp_path, graph) == {"bad": "collapsed", "good": "done", "behind": "done"}
    assert [found.name for found in graph.wanted] == ["good", "behind"]
    begin(tmp_path, graph)
    assert read_ending(tmp_path, bad) is not None, "no luck is kept: another try would end alike"


def started(out: Path, wanted: Callable[[], object]) -> subprocess.Popen[bytes]:
    """A runner in a process of its own, once something has happened."""
    runner = subprocess.Popen([sys.executable, "-m", "tests.trainer.studies.runner", str(out)], cwd=local.ROOT,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not wanted():
        assert time.monotonic() < end
        assert runner.poll() is None
        time.sleep(0.02)
    return runner


@pytest.mark.slow
def test_a_runner_that_is_killed_or_asked_to_leave(tmp_path: Path) -> None:
    """Killed: its nodes end with it. Asked: trainings save first. Both: the next life goes on."""
    graph = graph_of(node(tmp_path, "waits", "wait"), node(tmp_path, "saves", "save"))
    write_graph(tmp_path, graph)
    runner = started(tmp_path, lambda: len(list(tmp_path.glob("made/*/waiting"))) == 2)
    children = psutil.Process(runner.pid).children(recursive=True)
    assert len(children) == 2
    runner.kill()
    runner.wait()
    psutil.wait_procs(children, timeout=10)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert states(tmp_path, graph) == {}

    for file in tmp_path.glob("made/saves/*"):  # as if it had not begun
        file.unlink()
    runner = started(tmp_path, lambda: (tmp_path / "made/saves/waiting").exists())
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(30) == 128 + signal.SIGTERM
    assert (tmp_path / "made/saves/saved").exists()
    assert "saves" not in states(tmp_path, graph), "it goes on next time"
    run_nodes(lambda failed: graph, tmp_path, ROOM)
    assert states(tmp_path, graph) == {"waits": "done", "saves": "done"}


def test_an_output_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shards/xnli").mkdir(parents=True)
    old, new = node(tmp_path, "xnli-1", output="shards/xnli"), node(tmp_path, "xnli-2", output="shards/xnli")
    write_ending(tmp_path, old, ending(old))
    begin(tmp_path, graph_of(old))
    with pytest.raises(InputError, match="xnli was made by another version of the study; choose another --out, or rem"):
        begin(tmp_path, graph_of(new))
    (tmp_path / "shards/xnli").rmdir()
    begin(tmp_path, graph_of(new))
    (tmp_path / "shards/xnli").mkdir()
    assert read_ending(tmp_path, old) is None, "what is there now is not the old node's"


def test_a_run_begins_without_the_leftovers_of_killed_writes(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = [tmp_path / "out" / f"{place}.x.tmp-{dead.pid}@{socket.gethostname()}" for place in ("", "nodes/")]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name in ("source", "tokenizer"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(commands, "run_nodes", lambda graph_of, out, room: graph_of(frozenset()))
    monkeypatch.setattr(commands, "_report", lambda *_: 0)
    assert commands.run(str(write_study(tmp_path / "study")), out=str(tmp_path / "out"),
                        source=str(tmp_path / "source"), tokenizer=str(tmp_path / "tokenizer")) == 0
    assert not [path for path in left if path.exists()]


def test_records_that_count(tmp_path: Path) -> None:
    one = node(tmp_path, "one")
    assert read_ending(tmp_path, one) is None
    write_ending(tmp_path, one, ending(one))
    assert read_ending(tmp_path, one) is None, "its output is gone"
    (tmp_path / one.output).mkdir(parents=True)
    assert read_ending(tmp_path, one) is not None
    write_json(tmp_path / "nodes/one.json", {"digest": "other"})
    assert read_ending(tmp_path, one) is None


def test_estimates(tmp_path: Path) -> None:
    def training(name: str, method: str, examples: int | None = 100) -> Node:
        (tmp_path / "made" / name).mkdir(parents=True, exist_ok=True)
        return node(tmp_path, name, kind="train", stage="target", method=method, examples=examples)

    done, resumed = training("done", "plain"), training("resumed", "plain")
    left, other = training("left", "plain", 300), training("other", "pgd", 50)
    unknown = training("unknown", "pgd", None)
    graph = graph_of(done, resumed, left, other, unknown)
    assert Estimate(tmp_path, graph).seconds([left], 1) is None
    assert Estimate(tmp_path, graph, 10.0).seconds([left], 1) == 30
    write_ending(tmp_path, done, ending(done, seconds=20))
    write_ending(tmp_path, resumed, ending(resumed, seconds=1, whole=False))  # most of it was done in an earlier life
    estimate = Estimate(tmp_path, graph)
    assert (estimate.of(left), estimate.of(other), estimate.of(unknown)) == (60, 10, None)
    assert estimate.seconds([left, other], 2) == 35


def test_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "available_cores", lambda: 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert find_room(None, None) == Room(8, 1)
    assert find_room(2, None) == Room(2, 4)
    assert find_room(None, 1e9) == Room(1, 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert find_room(None, None) == Room(2, 4, ("2", "5"))
    with pytest.raises(InputError, match="--parallel must be at least 1, found 0"):
        find_room(0, None)


def test_plan_says_what_sharing_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_study(tmp_path / "study")
    for name in ("source", "tokenizer"):
        (tmp_path / name).mkdir()
    flags = {"source": str(tmp_path / "source"), "tokenizer": str(tmp_path / "tokenizer")}
    assert plan(str(path), size="full", out=str(tmp_path / "out"), rate=32.0, **flags) == 0
    said = capsys.readouterr().out
    assert "A small study\nDoes it work?\nmethod: plain, pgd; seeds 0, 1, 2: 6 cells\n" in said
    rows = {" ".join(line.split()[:2]): line.split()[2:5] for line in said.splitlines()}
    assert rows["train base"] == ["1", "6", "0"], said
    assert rows["train target"] == ["6", "6", "0"]
    assert "14 nodes to run, " in said
    assert ": about " in said
    assert not (tmp_path / "out").exists()
    assert plan(str(path), out=str(tmp_path / "out"), nodes=True, **flags) == 0
    said = capsys.readouterr().out
    assert "time unknown before a training has finished; give its examples per second with --rate" in said
    assert said.count("\n  python -m trainer train ") == 3
    assert os.environ.get("RANK") is None
