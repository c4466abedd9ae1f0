"""How nodes ended: `<study>/nodes/<name>.json`, one record per node that was run, written when its command ends.

A node without a record has not been run, or was killed: its command begins again, and goes on where it keeps its work.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from data_prep.base.errors import InputError
from data_prep.base.files import read_json, write_json
from trainer.studies.graph import Graph, Node

NODES, LOGS, GRAPH, STUDY = "nodes", "logs", "graph.json", "study.yaml"
State = Literal["done", "failed", "collapsed"]


class Ending(BaseModel):
    """Record of a node."""

    model_config = ConfigDict(frozen=True)

    digest: str
    state: State
    """collapsed: a training that was given up at chance or at NaN; only a new seed can help."""
    code: int
    """Exit code of the command."""
    seconds: float
    started: str
    host: str


def read_ending(out: Path, node: Node) -> Ending | None:
    """The record of `node`; None where there is none, or it is of another content under the same name.

    A node whose output is gone is not done.
    """
    try:
        ending = Ending.model_validate(read_json(out / NODES / f"{node.name}.json"))
    except ValidationError:
        return None
    if ending.digest != node.digest or (ending.state == "done" and not (out / node.output).exists()):
        return None
    return ending


def write_ending(out: Path, node: Node, ending: Ending) -> None:
    """Write the record of `node`."""
    (out / NODES).mkdir(parents=True, exist_ok=True)
    write_json(out / NODES / f"{node.name}.json", ending.model_dump())


def endings(out: Path, nodes: Iterable[Node]) -> dict[str, Ending]:
    """Records by name of the nodes that have one."""
    found = ((node.name, read_ending(out, node)) for node in nodes)
    return {name: ending for name, ending in found if ending is not None}


def collapsed_digests(out: Path) -> frozenset[str]:
    """Digests of all trainings in `out` that were given up."""
    records = (read_json(file) for file in sorted((out / NODES).glob("*.json")))
    return frozenset(str(record["digest"]) for record in records
                     if record.get("state") == "collapsed" and "digest" in record)


def blocked(graph: Graph, ended: dict[str, Ending]) -> set[str]:
    """Names of nodes that cannot be run, as one that they need has failed."""
    found: set[str] = set()
    for node in graph.nodes.values():  # those a node needs stand before it
        if any(name in found or (name in ended and ended[name].state != "done") for name in node.needs):
            found.add(node.name)
    return found


def read_graph(out: Path) -> Graph:
    """The graph that `run` or `submit` has written. Raises InputError where there is none."""
    try:
        return Graph.load(read_json(out / GRAPH))
    except (KeyError, TypeError):
        raise InputError(f"{out} holds no study (no {GRAPH}); start one with `python -m trainer study run`") from None
