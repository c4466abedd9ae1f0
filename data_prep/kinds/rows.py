"""Records as sources read them, and rows as they are augmented and encoded: values by field of the kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

NO_LABEL = -1
GOLD_FIELDS = frozenset({"label", "score", "tags", "answers", "matches"})
"""Fields that hold gold answers, whatever the kind. Test files may lack them."""


class Record(NamedTuple):
    """One raw record of a source, quirks of the file format removed."""

    row: int
    """Number in the source, records that are left out included."""
    values: Mapping[str, Any]
    """Values by field of the kind: texts, None for a missing one; labels as spelt, "" for none; lists as the source has
    them."""
    labelled: bool = False
    """True if the source gives labels."""
    key: str | None = None
    """The publisher's key; None if the source has no keys."""
    language: str = ""
    """Language of the cell; "" where the source does not tell."""


class Row(NamedTuple):
    """One row, checked: values by the names that the kind's encoder reads."""

    row: int
    values: Mapping[str, Any]
    key: str | None = None


@dataclass
class TextBatch:
    """Rows in columns."""

    ids: list[int] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    """Empty if the source has no keys."""
    cell: str = ""
    """The cell, as split/language, where its augmentation is told."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, name: str) -> list[Any]:
        return self.columns[name]

    def add(self, row: int, values: Mapping[str, Any], key: str | None = None) -> None:
        """Append one row; all rows have the same names."""
        self.ids.append(row)
        for name, value in values.items():
            self.columns.setdefault(name, []).append(value)
        if key is not None:
            self.keys.append(key)

    def extend(self, other: TextBatch) -> None:
        """Append the rows of `other`."""
        self.ids += other.ids
        self.keys += other.keys
        for name, values in other.columns.items():
            self.columns[name] += values

    def pick(self, places: Sequence[int]) -> TextBatch:
        """The rows at these places of the batch."""
        return TextBatch([self.ids[at] for at in places],
                         {name: [column[at] for at in places] for name, column in self.columns.items()},
                         [self.keys[at] for at in places] if self.keys else [], self.cell)
