"""The graph of a study: nodes, one command each, and the cells that consist of them (see `expand`).

A node is named by the hash of all that determines its output. Cells that agree in that share it: an intermediate model
that forty cells start from is one node.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

SHARDS, RUNS, RECIPES, SHARDS_PREFIX = "shards", "runs", "recipes", "shards/"


@dataclass(frozen=True)
class Node:
    """One command and its output."""

    name: str
    kind: str
    """prepare, train, average, evaluate or diagnose."""
    digest: str
    """Hash of all that determines the output."""
    words: tuple[str, ...]
    """Words behind `python -m`."""
    output: str
    """Path below the study's folder."""
    needs: tuple[str, ...] = ()
    """Names of nodes."""
    stage: str = ""
    """Of a training: its stage; of an average or evaluation: that of its run."""
    method: str = ""
    """Robust method of a training."""
    examples: int | None = None
    """Examples that a training passes over, where its recipe says so."""


@dataclass(frozen=True)
class CellNodes:
    """One cell of the grid: its levels by factor, its seed, and its nodes."""

    levels: dict[str, str]
    seed: int
    runs: dict[str, str]
    """Name of the training node by stage; the stages that the cell skips are absent."""
    evaluations: dict[str, list[str]]
    """Names of the evaluation nodes by stage."""
    failed: dict[str, list[str]] = field(default_factory=dict)
    """By stage, names of trainings that failed and were replaced by a new seed."""


@dataclass(frozen=True)
class Graph:
    """All nodes of a study, each behind those it needs, and its cells."""

    nodes: dict[str, Node]
    cells: list[CellNodes]
    recipes: dict[str, str] = field(default_factory=dict)
    """Texts of the recipes that trainings read, by file name; not kept in graph.json."""

    @property
    def wanted(self) -> list[Node]:
        """Nodes that the study is done with: all but trainings that failed and were replaced."""
        replaced = {name for cell in self.cells for names in cell.failed.values() for name in names}
        return [node for node in self.nodes.values() if node.name not in replaced]

    def _behind(self, cell: CellNodes) -> set[str]:
        todo = [name for names in cell.evaluations.values() for name in names] + list(cell.runs.values())
        seen: set[str] = set()
        while todo:
            if (name := todo.pop()) not in seen:
                seen.add(name)
                todo += self.nodes[name].needs
        return seen

    def unshared(self, kind: str, stage: str = "") -> int:
        """Number of nodes of `kind`, and of `stage` if one is given, if every cell had its own."""
        return sum(self.nodes[name].kind == kind and stage in ("", self.nodes[name].stage)
                   for cell in self.cells for name in self._behind(cell))

    def dump(self) -> dict[str, Any]:
        """The graph as plain data."""
        return {"nodes": [asdict(node) for node in self.nodes.values()], "cells": [asdict(cell) for cell in self.cells]}

    @classmethod
    def load(cls, content: dict[str, Any]) -> Graph:
        """The graph that `dump` gave. Raises KeyError or TypeError for anything else."""
        nodes = [Node(**{**node, "words": tuple(node["words"]), "needs": tuple(node["needs"])})
                 for node in content["nodes"]]
        return cls({node.name: node for node in nodes}, [CellNodes(**cell) for cell in content["cells"]])


def digest_of(*parts: Any) -> str:
    """SHA-256 (hex) of plain data."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
