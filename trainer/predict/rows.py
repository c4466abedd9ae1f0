"""Rows of one's own: names of their fields, and how they become the cells that a model reads.

Input: mappings from names to texts, as the keys of a JSON Lines file or the header of a table give them. The first two
texts may always be called `text` and `text_pair`; the kind's own names and their alternatives are known too (`premise`
and `hypothesis`, `question` and `context`). Output: open cells in memory, one per language, as `data_prep build` would
have written them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from data_prep.base.errors import InputError
from data_prep.kinds import named_kind
from data_prep.kinds.kind import Kind
from data_prep.kinds.rows import GOLD_FIELDS, Record, Row, TextBatch
from data_prep.shards.manifest import Manifest, TokenizerInfo
from data_prep.shards.read import Cell
from data_prep.tasks import TASKS
from data_prep.tasks.task import LANGUAGE as LANGUAGE_CODE
from data_prep.tasks.task import Task

TEXT, TEXT_PAIR, LANGUAGE = "text", "text_pair", "language"
UNKNOWN_LANGUAGE = "und"  # BCP 47's code of a language that is not known
SURROGATE = re.compile(r"[\ud800-\udfff]")
RawRow = Mapping[str, Any]


@dataclass(frozen=True)
class OwnRow:
    """A row that the kind has read."""

    number: int
    """Place among the rows that were given, from 0."""
    row: Row
    language: str
    """"" where it is not known."""

    @property
    def texts(self) -> dict[str, Any]:
        """The row's texts, words or choices by the kind's names, without gold answers and what the kind derives."""
        return {name: value for name, value in self.row.values.items() if name not in GOLD_FIELDS and value
                and isinstance(value, str | list) and name not in ("note", LANGUAGE)}


class Rows:
    """Reader of rows of one task."""

    def __init__(self, kind: str, task: str, labels: Sequence[str], metric: str, texts: int | None = None) -> None:
        """task: one of `data_prep tasks`, of which labels may have other spellings, or any name. texts: number of texts
        of a row, 1 or 2; None takes what the task's files have, or leaves it open."""
        self.kind_name, self.task_name, self.metric = kind, task, metric
        self.kind: Kind = named_kind(kind)
        known = TASKS.get(task.partition("+")[0])
        known = known if known is not None and known.kind == kind else None
        aliases = dict(known.aliases) if known is not None and set(known.labels) == set(labels) else {}
        self.task = Task(name=task, summary="", kind=kind, metric=metric, labels=tuple(labels), languages=(),
                         layouts=(), aliases=aliases, adapt=known.adapt if known is not None else None)
        if len(self.fields) != 2:  # words, or choices, which have names only
            texts = None
        elif texts is None and known is not None:
            texts = _texts_in_files(known)
        self.texts = texts

    @cached_property
    def fields(self) -> list[str]:
        """Fields that are no gold answers; the first is `text`, the second `text_pair`."""
        return [name for name in self.kind.fields if name not in GOLD_FIELDS]

    @cached_property
    def names(self) -> dict[str, str]:
        """Field by every name that it may have."""
        found = dict(zip((TEXT, TEXT_PAIR), self.fields, strict=False))
        for name, others in self.kind.fields.items():
            found |= {other: name for other in (name, *others) if other not in found}
        return found

    def is_gold(self, text: str) -> bool:
        """True for a spelling of a label of the task, or a number where it has no labels."""
        if self.task.labels:
            return text.lower() in self.task.label_index or text in self.task.labels
        return re.fullmatch(r"-?[0-9]+([.,][0-9]+)?", text) is not None

    def read(self, given: Sequence[RawRow], where: Sequence[str] | None = None) -> list[OwnRow]:
        """The rows, checked. where: what errors call each of them; None counts them from 1.

        Raises InputError for a name that is none of the kind's, a missing text, and whatever the kind refuses.
        """
        labelled = any(self.names.get(name) in GOLD_FIELDS for row in given for name in row)
        return [self._read(number, row, where[number] if where else f"row {number + 1}", labelled)
                for number, row in enumerate(given)]

    def _read(self, number: int, given: RawRow, where: str, labelled: bool) -> OwnRow:
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name == LANGUAGE:
                continue
            if (field := self.names.get(name)) is None or field in values:
                raise InputError(f"{where}: {name!r} is {'a second name of ' + field if field else 'no name of a text'}"
                                 f"; expected {', '.join(self.names)} and {LANGUAGE}")
            if field not in GOLD_FIELDS and not _is_text(value):
                raise InputError(f"{where}: {name} is {str(value)[:60]!r}, expected a text or a list of texts")
            values[field] = str(value) if field in GOLD_FIELDS and isinstance(value, int | float) else value
        self._check_texts(values, where)
        if self.task.adapt is not None:
            with suppress(KeyError):  # of columns that only the publisher's files have
                values = self.task.adapt(dict(values))
        try:
            row = self.kind.read(Record(number, values, labelled), self.task)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        except KeyError as error:
            raise InputError(f"{where}: no {error.args[0]}, which a task of kind {self.kind_name} needs") from None
        if isinstance(row, str):
            raise InputError(f"{where}: {row}")
        language = str(given.get(LANGUAGE) or "")
        if language and not re.fullmatch(LANGUAGE_CODE, language):
            raise InputError(f"{where}: language {language[:40]!r}, expected a code such as de or zh_Hant")
        return OwnRow(number, row, language)

    def _check_texts(self, values: Mapping[str, Any], where: str) -> None:
        """Raise InputError for a missing first text, and for one text where the task takes two, or the reverse."""
        first, second = self.fields[0], self.fields[1] if len(self.fields) > 1 else None
        if not values.get(first):
            raise InputError(f"{where}: no text ({first})")
        if self.texts == 2 and not values.get(second or ""):
            raise InputError(f"{where}: no text_pair ({second}); {self.task_name} takes two texts")
        if values.get(second or "") and (second is None or self.texts == 1):
            raise InputError(f"{where}: a text_pair, but {self.task_name} takes one text; leave it out")

    def cells(self, rows: Sequence[OwnRow], tokenizer: Any, about: TokenizerInfo, max_length: int
              ) -> list[tuple[Cell, list[OwnRow]]]:
        """An open cell, in memory, for the rows of each language, in the order of their first rows."""
        by_language: dict[str, list[OwnRow]] = {}
        for row in rows:
            by_language.setdefault(row.language, []).append(row)
        return [(self._cell(language, of_it, tokenizer, about, max_length), of_it)
                for language, of_it in by_language.items()]

    def _cell(self, language: str, rows: Sequence[OwnRow], tokenizer: Any, about: TokenizerInfo, max_length: int
              ) -> Cell:
        batch = TextBatch()
        for own in rows:
            batch.add(own.row.row, own.row.values)
        table: pa.Table = self.kind.encode(batch, tokenizer.backend_tokenizer, max_length, about.template).table
        manifest = Manifest(
            task=self.task_name, kind=self.kind_name, columns=dict(self.kind.columns), labels=list(self.task.labels),
            metric=self.metric, language=(language or UNKNOWN_LANGUAGE).replace("-", "_"), split="test",
            max_length=max_length, tokenizer=about, source="texts", data_prep_version="")
        # what is counted when a cell is written; nothing here is
        manifest = manifest.model_copy(update={"rows": table.num_rows, "source_rows": table.num_rows})
        return Cell(Path(self.task_name), manifest, table, [])


def _is_text(value: Any) -> bool:
    """True for a text, a list of texts, or none; half a surrogate pair (JSON can spell it) is no character."""
    if isinstance(value, list):
        return all(isinstance(one, str) and _is_text(one) for one in value)
    return value is None or (isinstance(value, str) and not SURROGATE.search(value))


def _texts_in_files(task: Task) -> int:
    """Number of texts in a row of the task's files, at most 2."""
    columns = [set(layout.columns) for layout in task.layouts] + ([set(task.hub.columns)] if task.hub else [])
    return 2 if any(len(names - GOLD_FIELDS) > 1 for names in columns) else 1
