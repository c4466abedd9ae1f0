"""Outcomes of nodes: `<study>/nodes/<name>.json`, one record per node that was run, written when its command ends.

A node without a record has not been run, or was killed: its command begins again, and goes on where it keeps its work.
Below `nodes/` and beside it lie what nodes read of the study: `graph.json`, and `recipes/`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from data_prep.base.errors import InputError
from data_prep.base.files import read_json, write_json, write_text
from trainer.studies.graph import RECIPES, Graph, Node

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
    output: str = ""
    """Of the node; two versions of a study may write one."""
    whole: bool = True
    """False where an earlier life had begun the training: the seconds are then no measure of it."""


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


def begin(out: Path, graph: Graph) -> None:
    """Make `out` ready for a life of the study: forget nodes that failed, to try them again, and outputs that are gone.

    Raises InputError, before anything is changed, where an output is there that another version of the study has made.
    """
    records = {file: read_json(file) for file in sorted((out / NODES).glob("*.json"))}
    known = {node.digest for node in graph.nodes.values()}
    made = {str(record.get("output")) for record in records.values()
            if record.get("digest") not in known and record.get("output")}
    for node in graph.nodes.values():
        if node.kind == "prepare" and node.output in made and (out / node.output).exists():
            raise InputError(f"{out / node.output} was made by another version of the study; choose another --out, or "
                             "remove it")
    for file, record in records.items():
        output = record.get("output")
        gone = record.get("state") == "done" and isinstance(output, str) and not (out / output).exists()
        if record.get("state") == "failed" or gone:
            file.unlink()


def write_graph(out: Path, graph: Graph) -> None:
    """Write what nodes read of the study."""
    (out / RECIPES).mkdir(exist_ok=True)
    for name, text in graph.recipes.items():
        if not (out / RECIPES / name).exists():
            write_text(out / RECIPES / name, text)
    write_json(out / GRAPH, graph.dump())


def read_graph(out: Path) -> Graph:
    """The graph that `run` or `submit` has written. Raises InputError where there is none."""
    try:
        return Graph.load(read_json(out / GRAPH))
    except (KeyError, TypeError):
        raise InputError(f"{out} holds no study (no {GRAPH}); start one with `python -m trainer study run`") from None
