"""Run the nodes of a study on this machine, as many at once as fit; start again where an earlier run ended.

Input: a function that builds the graph from the trainings that collapsed, the study's folder. Output: the nodes'
outputs, their records (`states`) and their logs, `<study>/logs/<node>.log`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from data_prep.base.errors import InputError
from data_prep.workers import available_cores
from trainer.distributed.ranks import without_launcher
from trainer.results.numbers import counted, duration
from trainer.studies.estimate import Estimate
from trainer.studies.graph import Graph, Node
from trainer.studies.states import LOGS, begin, blocked, collapsed_digests, endings, read_ending, write_graph
from trainer.studies.watch import Watch

CHILD = "trainer.studies.node"
ROOT = Path(__file__).parents[2]
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Room:
    """Room for nodes on this machine."""

    parallel: int
    """Nodes at once."""
    threads: int
    """Threads of each."""
    devices: tuple[str, ...] = ()
    """GPUs, one per node."""


def find_room(parallel: int | None, memory_gb: float | None) -> Room:
    """Room for nodes: one per GPU, else one per core, within the free memory where a node's need is known."""
    if parallel is not None and parallel < 1:
        raise InputError(f"--parallel must be at least 1, found {parallel}")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = tuple(str(number) for number in range(len(list(Path("/dev").glob("nvidia[0-9]*")))))
    if visible is not None:
        devices = tuple(word for word in visible.split(",") if word not in ("", "-1"))
    cores = available_cores()
    most = parallel or len(devices) or cores
    if memory_gb is not None and parallel is None:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
        most = max(1, min(most, int(free / memory_gb)))
    return Room(most, max(1, cores // most), devices)


def run_nodes(
    graph_of: Callable[[frozenset[str]], Graph], out: Path, room: Room, announce: Callable[[Node], None] | None = None
) -> Graph:
    """Run all nodes that are not done and can be; returns the last graph.

    announce: called with each node that starts, instead of a line with its name. A node that fails stops those that
    need it and no others. KeyboardInterrupt ends the running nodes, which save.
    """
    with Watch(out) as watch:
        runner = _Runner(graph_of, out, room, watch)
        runner.announce = announce or runner.announce
        try:
            with _ended_like_ctrl_c():
                runner.run()
        except BaseException:
            runner.end()
            raise
    return runner.graph


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Context in which TERM and HUP (a closed terminal) raise SystemExit, so that trainings save first."""
    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)
              if signal.getsignal(number) is not signal.SIG_IGN}  # as nohup leaves it
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Runner:
    """The nodes that are running now, and the graph."""

    def __init__(self, graph_of: Callable[[frozenset[str]], Graph], out: Path, room: Room, watch: Watch) -> None:
        self._graph_of, self._out, self._room, self._watch = graph_of, out, room, watch
        self._running: dict[str, tuple[subprocess.Popen[bytes], float, str | None]] = {}
        self._given_up: set[str] = set()
        """Nodes that failed in this life: not tried again before the next."""
        self._counts = (0, 0, "")
        """Nodes done, all nodes, and what is left in words."""
        self.graph = self._read_graph()
        self.announce: Callable[[Node], None] = lambda node: print(f"  start  {node.name}", flush=True)

    def _read_graph(self) -> Graph:
        graph = self._graph_of(collapsed_digests(self._out))
        write_graph(self._out, graph)
        return graph

    def run(self) -> None:
        """Start what can be started, until nothing runs and nothing can be."""
        begin(self._out, self.graph)
        self._count()
        ended: list[str] | None = None
        while True:
            for node in self._startable() if ended is None or ended else ():  # which reads the records of all nodes
                if len(self._running) >= self._room.parallel:
                    break
                self._start(node)
            if not self._running:
                return
            time.sleep(POLL_SECONDS)
            self._watch.draw([self.graph.nodes[name] for name in self._running], *self._counts)
            ended = [name for name, (child, *_) in self._running.items() if child.poll() is not None]
            for name in ended:
                self._finish(name)

    def _startable(self) -> list[Node]:
        ended = endings(self._out, self.graph.nodes.values())
        stopped = blocked(self.graph, ended)
        return [node for node in self.graph.nodes.values()
                if node.name not in ended and node.name not in stopped and node.name not in self._running
                and node.name not in self._given_up
                and all(name in ended for name in node.needs)]

    def _start(self, node: Node) -> None:
        if any(self.graph.nodes[name].output == node.output for name in self._running):
            return  # two builds of one task: one after the other
        kept = without_launcher(os.environ)
        places = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
        environment = kept | {"OMP_NUM_THREADS": str(self._room.threads), "PYTHONPATH": places}
        device = None
        if self._room.devices:
            taken = [device for *_, device in self._running.values()]
            device = min(self._room.devices, key=taken.count)
            environment["CUDA_VISIBLE_DEVICES"] = device
        (self._out / LOGS).mkdir(exist_ok=True)
        with (self._out / LOGS / f"{node.name}.log").open("ab") as log:  # a later life adds to it
            child = subprocess.Popen(
                [sys.executable, "-m", CHILD, str(self._out), node.name, str(os.getpid())], env=environment,
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, process_group=0)  # Ctrl-C is ours
        self._running[node.name] = (child, time.monotonic(), device)
        self.announce(node)

    def _finish(self, name: str) -> None:
        child, begun, _ = self._running.pop(name)
        node, took = self.graph.nodes[name], duration(time.monotonic() - begun)
        ending = read_ending(self._out, node)
        if ending is not None and ending.state == "done":
            self._count()
            print(f"  done   {name} in {took}; {self._counts[-1]}", flush=True)
            return
        self._given_up.add(name)
        log = self._out / LOGS / f"{name}.log"
        reason = f"exit code {child.returncode}: {last_line(log)}"
        print(f"  FAILED {name} after {took}: {reason} (all of it in {log})", flush=True)
        if ending is not None and ending.state == "collapsed":
            self.graph = self._read_graph()  # perhaps with a new seed
            self._count()

    def _count(self) -> None:
        """Count what is done and left now."""
        ended, wanted = endings(self._out, self.graph.nodes.values()), self.graph.wanted
        left = [node for node in wanted if node.name not in ended]
        seconds = Estimate(self._out, self.graph).seconds(left, self._room.parallel)
        rest = f"{counted(len(left), 'node')} left{f', about {duration(seconds)}' if seconds else ''}"
        self._counts = (len(wanted) - len(left), len(wanted), rest)

    def end(self) -> None:
        """Terminate the running nodes and wait for them; trainings save a checkpoint first."""
        for child, *_ in self._running.values():
            child.terminate()  # not its group: a training that saves still needs its loader's processes
        for child, *_ in self._running.values():
            child.wait()


def last_line(log: Path) -> str:
    """Last line of a log; empty where there is none."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:300] if lines else ""
