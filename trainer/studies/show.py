"""Plan and state of a study on the terminal.

Input: a study, its graph and folder. Output: tables by kind and stage of node, and a line per node.
"""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data_prep.base.folding import fold
from trainer.results.numbers import counted, duration
from trainer.runs.standing import standing
from trainer.studies.estimate import Estimate
from trainer.studies.graph import Graph, Node
from trainer.studies.local import last_line
from trainer.studies.schema import Study
from trainer.studies.states import LOGS, Ending, blocked, endings


def show_plan(study: Study, graph: Graph, out: Path, parallel: int, rate: float | None, *, every_node: bool) -> None:
    """Print the graph, what sharing saves, and the time that is left."""
    console, ended = Console(highlight=False), endings(out, graph.nodes.values())
    estimate = Estimate(out, graph, rate)
    _heading(console, study, graph)
    table = Table("nodes", "needed", "without sharing", "done", "time left", box=None, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    groups: dict[tuple[str, str], list[Node]] = {}
    for node in graph.nodes.values():
        groups.setdefault((node.kind, node.stage if node.kind == "train" else ""), []).append(node)
    for (kind, stage), nodes in groups.items():
        left = [node for node in nodes if node.name not in ended]
        times = [estimate.of(node) for node in left]
        known = [value for value in times if value is not None]
        time = "unknown" if left and not known else duration(sum(known))
        unshared = graph.unshared(kind, stage) if kind == "train" else graph.unshared(kind)
        table.add_row(f"{kind} {stage}".strip(), str(len(nodes)), str(unshared), str(len(nodes) - len(left)), time)
    console.print(table)
    left = [node for node in graph.nodes.values() if node.name not in ended]
    seconds = estimate.seconds(left, parallel)
    console.print(fold(f"{counted(len(left), 'node')} to run, {parallel} at once: " + (
        f"about {duration(seconds)}" if seconds is not None
        else "time unknown before a training has finished; give its examples per second with --rate")), soft_wrap=True)
    for node in graph.nodes.values() if every_node else ():
        console.print(f"\n{node.name}\n  python -m {shlex.join(node.words)}"
                      + (f"\n  after {', '.join(node.needs)}" if node.needs else ""), soft_wrap=True, markup=False)


def show_status(study: Study, graph: Graph, out: Path) -> None:
    """Print how many nodes are in each state, and which failed and why."""
    console, ended = Console(highlight=False), endings(out, graph.nodes.values())
    stopped = blocked(graph, ended)
    _heading(console, study, graph)
    states = Counter(state_of(node, ended, stopped, out) for node in graph.nodes.values())
    console.print(", ".join(f"{number} {state}" for state, number in states.items()))
    for node in graph.nodes.values():
        state = state_of(node, ended, stopped, out)
        if state in ("failed", "collapsed", "begun", "submitted"):
            reason = f": {last_line(out / LOGS / f'{node.name}.log')}" if state in ("failed", "collapsed") else ""
            console.print(f"  {state:<10}{node.name}{reason}{_how_far(node, state, out)}", soft_wrap=True, markup=False)
    seconds = Estimate(out, graph).seconds([node for node in graph.wanted if node.name not in ended], 1)
    if seconds:
        console.print(f"left: about {duration(seconds)} of one at a time")
    console.print(f"logs in {out / LOGS}", soft_wrap=True, markup=False)


def _how_far(node: Node, state: str, out: Path) -> str:
    """Step and state of a training that has begun; empty for others."""
    if state != "begun" or node.kind != "train":
        return ""
    found = standing(out / node.output)
    return f": {', '.join(filter(None, (found.state, found.step, found.eta and f'{found.eta} left')))}"


def state_of(node: Node, ended: dict[str, Ending], stopped: set[str], out: Path) -> str:
    """done, failed, collapsed, blocked (by a failed one), begun (running now, or killed), submitted, or waiting.

    The log of a node that was submitted is a link to its job's output, which is there once the job begins.
    """
    if node.name in ended:
        return ended[node.name].state
    if node.name in stopped:
        return "blocked"
    log = out / LOGS / f"{node.name}.log"
    if log.exists():
        return "begun"
    return "submitted" if log.is_symlink() else "waiting"


def _heading(console: Console, study: Study, graph: Graph) -> None:
    factors = "; ".join(f"{factor}: {', '.join(study.chosen_levels(factor))}" for factor in study.factors)
    design = f"{factors}; seeds {', '.join(map(str, study.seeds))}: {counted(len(graph.cells), 'cell')}"
    console.print(f"[bold]{study.title}[/bold]\n{fold(study.question)}\n{fold(design)}\n", soft_wrap=True)
