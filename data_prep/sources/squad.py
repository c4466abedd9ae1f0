"""SQuAD's JSON: articles, their paragraphs and their questions. One row per question, in the order of the file.

SQuAD, XQuAD, MLQA and TyDiQA-GoldP are published in this form. It is read as a stream, paragraph by paragraph, so that
memory does not grow with the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ijson

from data_prep.base.errors import InputError
from data_prep.sources.columns import Columns
from data_prep.sources.lines import read_chunks
from data_prep.tasks.task import Layout

PARAGRAPHS = "data.item.paragraphs.item"
FIELDS = ("question", "context", "answers")
EXPECTED = 'expected {"data": [{"paragraphs": [{"context", "qas": [{"id", "question", "answers"}]}]}]}'


def open_squad(file: Path, layout: Layout, split: str, sha256: Any = None) -> tuple[Columns, Iterator[tuple[int, Any]]]:
    """Columns of `file`, and (number from 1, fields) of each question; id and language are the last fields.

    With a `language_column`, the language stands at the start of the id, named as in `language_names` (TyDiQA:
    `swahili--821168-4`). Iterating raises InputError, naming file and question, for other JSON.
    """
    at = {name: number for number, name in enumerate(FIELDS)}
    language = len(FIELDS) + 1 if layout.language_column else -1
    return Columns(at, language, len(FIELDS), len(FIELDS) + 2), _questions(file, layout, sha256)


def _questions(file: Path, layout: Layout, sha256: Any) -> Iterator[tuple[int, list[Any]]]:
    number = 0
    for paragraph in _paragraphs(file, sha256):
        context = paragraph.get("context") if isinstance(paragraph, dict) else None
        asked = paragraph.get("qas") if isinstance(paragraph, dict) else None
        if not isinstance(asked, list):
            raise InputError(f"{file}, behind question {number}: a paragraph without a list of questions; {EXPECTED}")
        for found in asked:
            number += 1
            question, key = (found.get("question"), found.get("id")) if isinstance(found, dict) else (None, None)
            key = str(key) if isinstance(key, int) else key
            if not (isinstance(context, str) and isinstance(question, str) and isinstance(key, str)):
                raise InputError(f"{file}, question {number}: no text of context, question or id; {EXPECTED}")
            language = layout.language_names.get(key.partition("-")[0], "?")
            yield number, [question, context, found.get("answers"), key, language]


def _paragraphs(file: Path, sha256: Any) -> Iterator[Any]:
    found: Any = ijson.sendable_list()
    parser = ijson.items_coro(found, PARAGRAPHS)
    try:
        for chunk in read_chunks(file, sha256):
            parser.send(chunk.encode())
            yield from found
            del found[:]
        parser.close()
    except ijson.JSONError as error:
        raise InputError(f"{file}: not JSON ({' '.join(str(error).split())[:120]}); {EXPECTED}") from None
    yield from found
