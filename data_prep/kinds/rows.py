"""Records as sources read them, and rows of text as they are augmented and encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

NO_LABEL = -1


class Record(NamedTuple):
    """One raw record of a source, quirks of the file format removed."""

    row: int
    """Number in the source, records that are left out included."""
    texts: Sequence[str | None]
    """Columns of text in the order of the layout; None for a missing text."""
    label: str = ""
    """Label as the source spells it, "" for none."""
    labelled: bool = False
    """Whether the source gives labels."""
    key: str | None = None
    """The publisher's key; None if the source has no keys."""


class Row(NamedTuple):
    """One row of text. `second` may be empty; `label` is the gold answer as the kind encodes it."""

    row: int
    first: str
    second: str
    label: Any = NO_LABEL
    key: str | None = None


@dataclass
class TextBatch:
    """Rows in columns."""

    ids: list[int] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    second: list[str] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    """Empty if the source has no keys."""

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, row: int, first: str, second: str, label: Any, key: str | None = None) -> None:
        """Append one row."""
        self.ids.append(row)
        self.first.append(first)
        self.second.append(second)
        self.labels.append(label)
        if key is not None:
            self.keys.append(key)

    def pick(self, places: Sequence[int]) -> TextBatch:
        """The rows at these places of the batch."""
        return TextBatch(*([column[at] for at in places] if column else [] for column in vars(self).values()))
