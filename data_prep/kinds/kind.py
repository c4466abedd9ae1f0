"""Contract of a kind of task. A kind is a module with these names, listed in `data_prep.kinds.KINDS`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa
from tokenizers import Tokenizer

from data_prep.kinds.rows import Record, Row, TextBatch
from data_prep.shards.manifest import Manifest
from data_prep.shards.template import InputTemplate
from data_prep.tasks.task import Task


@dataclass(frozen=True)
class Encoded:
    """One batch as columns of a cell; `counts` are numbers for the manifest: `rows` of the source, `truncated`.

    `kept` counts rows of the source that deserve a note, by reason.
    """

    table: pa.Table
    counts: dict[str, int]
    kept: dict[str, int] = field(default_factory=dict)


class Kind(Protocol):
    """See the parts of the protocol."""

    columns: Mapping[str, str]
    """Columns beside `id`, `key` and `length`: name -> type, see `shards.columns`. A kind whose rows may yield several
    windows has the column `window`, their number within the row from 0."""
    fields: Mapping[str, tuple[str, ...]]
    """Fields of a record, and other names that people give them (for columns of their own files)."""
    texts: tuple[str, ...]
    """Fields of plain text, which an augmentation may rewrite; empty where it may not."""
    noised: tuple[str, ...]
    """Fields, texts or lists of texts, in which letters may be misspelt; no gold answer depends on their letters."""

    def read(self, record: Record, task: Task) -> Row | str:
        """Turn a raw record into a row, or return the reason to leave it out.

        Raises InputError for a record that is an error of the source, without naming the place.
        """

    def encode(self, batch: TextBatch, tokenizer: Tokenizer, max_length: int, template: InputTemplate) -> Encoded:
        """Encode rows as columns of a cell; one row may yield several, windows of it."""

    def validate(self, table: pa.Table, manifest: Manifest) -> None:
        """Check labels and metric of `manifest`, and the rows of `table`, which may be empty. Raises InputError."""

    def show(self, row: Mapping[str, Any], manifest: Manifest, tokenizer: Any) -> str:
        """Format one row of a cell for the terminal, texts decoded."""
