"""Time that nodes will take, from the time that finished ones have taken.

A training takes its examples over the examples per second of finished trainings: of its stage and method, else of its
stage, else of any. Other nodes take the mean of finished ones of their kind and stage. Where nothing of a kind has
finished, the time is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

from trainer.studies.graph import Graph, Node
from trainer.studies.states import endings


class Estimate:
    """Rates measured in one study's folder."""

    def __init__(self, out: Path, graph: Graph, examples_per_second: float | None = None) -> None:
        """examples_per_second: of trainings, where no finished one of the stage says it."""
        self._given = examples_per_second
        self._seconds: dict[tuple[str, ...], list[float]] = {}
        for name, ending in endings(out, graph.nodes.values()).items():
            node = graph.nodes[name]
            value = ending.seconds / node.examples if node.examples else ending.seconds
            for key in _keys(node) if ending.state == "done" and ending.whole else ():
                self._seconds.setdefault(key, []).append(value)

    def of(self, node: Node) -> float | None:
        """Seconds of one node; None if unknown."""
        for key in _keys(node):
            if key in self._seconds:
                return fmean(self._seconds[key]) * (node.examples or 1)
        if self._given is not None and node.examples:
            return node.examples / self._given
        return None

    def seconds(self, nodes: Iterable[Node], parallel: int) -> float | None:
        """Seconds of all `nodes`, `parallel` at once, if those of the trainings are known."""
        known = [(node, self.of(node)) for node in nodes]
        if any(value is None and node.kind == "train" for node, value in known):
            return None
        return sum(value for _, value in known if value is not None) / parallel


def _keys(node: Node) -> list[tuple[str, ...]]:
    """Groups of nodes whose time is alike, the most alike first; seconds and seconds per example are not mixed."""
    kind = f"{node.kind} per example" if node.examples else node.kind
    keys: list[tuple[str, ...]] = [(kind, node.stage, node.method), (kind, node.stage)]
    return [*keys, (kind,)] if node.kind == "train" else keys
