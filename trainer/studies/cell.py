"""One cell of a study (a level of every factor, and a seed) while it is expanded into nodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from data_prep.base.errors import InputError
from trainer.studies.graph import Node


@dataclass
class OpenCell:
    """Levels and seed of a cell, and its trainings so far."""

    levels: dict[str, str]
    """Factor -> level."""
    seed: int
    runs: dict[str, Node | None] = field(default_factory=dict)
    """Stage -> training; None where the cell skips the stage."""
    failed: dict[str, list[str]] = field(default_factory=dict)
    """Stage -> names of trainings that failed and were replaced by one of a new seed."""
    _open: list[str] = field(default_factory=list)

    @contextmanager
    def expanding(self, name: str) -> Iterator[None]:
        """Context in which the stage or step `name` is expanded; raises InputError within its own: it needs itself."""
        if name in self._open:
            raise InputError(f"{' -> '.join([*self._open, name])}: needs itself")
        self._open.append(name)
        try:
            yield
        finally:
            self._open.pop()
