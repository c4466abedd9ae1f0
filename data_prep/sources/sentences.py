"""Tagged sentences, one word per line and a blank line between sentences: XTREME's files, CoNLL's, CoNLL-U.

Row numbers are those of sentences. A line is blank if it holds nothing but spaces and tabs: other characters that look
like space are words of some benchmarks (a lone U+FEFF, a no-break space).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from data_prep.base.errors import InputError
from data_prep.kinds.rows import Record
from data_prep.shards.manifest import WRONG_COLUMNS
from data_prep.sources.batches import Content
from data_prep.sources.layouts import CellSource
from data_prep.sources.lines import read_lines
from data_prep.tasks.task import Task

DOCUMENT = "-DOCSTART-"  # CoNLL 2003: a line between documents, no word
NO_VALUE = "_"  # CoNLL-U, and files made of it
NO_WORD = re.compile(r"[0-9]+[-.][0-9]+")  # id of a multiword token, of an empty node
SENTENCE_KEY = "# sent_id"
ANY_NUMBER = 1 << 30


def read_sentences(
    source: CellSource, task: Task, skipped: Counter[str], content: Content
) -> Iterator[tuple[int, Record]]:
    """(first line, record) of every sentence; the first one tells whether tags are given.

    Raises InputError where the first sentence has another number of columns than the layout; later ones are left out.
    """
    columns = {name: at for name, at in source.layout.columns.items() if isinstance(at, int)}
    format, labelled = source.layout.format, None
    least, most = columns["words"] + 1, max(columns.values()) + 1
    for row, line, words, key in (_conllu if format == "conllu" else _columns)(source, content, most):
        if not all(least <= len(word) <= (ANY_NUMBER if format == "conllu" else most) for word in words):
            if labelled is None:
                raise InputError(f"{source.files[0]}, line {line}: a sentence with lines of "
                                 f"{' or '.join(map(str, sorted({len(word) for word in words})))} columns, expected "
                                 f"{least if least == most else f'{least} or {most}'} ({', '.join(columns)}) with "
                                 f"{'a space' if format == 'conll_space' else 'TAB'} between them")
            skipped[WRONG_COLUMNS] += 1
            continue
        values = {name: [word[at] if at < len(word) else "" for word in words] for name, at in columns.items()}
        values["tags"] = ["" if (tag := spelt.strip(" ")) == NO_VALUE else tag for spelt in values["tags"]]
        if labelled is None and words:
            labelled = any(values["tags"])
        yield line, Record(row, values, bool(labelled), key)


def _columns(
    source: CellSource, content: Content, most: int
) -> Iterator[tuple[int, int, list[list[str]], str | None]]:
    """(row, first line, columns of each word, no key) of files with TAB or a space between columns.

    Where every word of the first sentence begins with the language's code and a colon, as in the files of Rahimi et al.
    2019 (PAN-X), that is taken off all words.
    """
    prefix, coded = f"{source.language}:", None
    for row, lines in _lines(source, content, DOCUMENT):
        if coded is None:
            coded = all(line.startswith(prefix) for _, line in lines)
        texts = [line.removeprefix(prefix) if coded else line for _, line in lines]
        yield row, lines[0][0], [text.split("\t") if source.layout.format == "conll_tab" else
                                 text.rstrip(" ").rsplit(" ", most - 1) for text in texts], None


def _conllu(
    source: CellSource, content: Content, most: int
) -> Iterator[tuple[int, int, list[list[str]], str | None]]:
    """(row, first line, columns of each word, comment `sent_id`) of files with CoNLL-U's ids and comments.

    Words are the syntactic ones: lines of multiword tokens (id `3-4`) and of empty nodes (`5.1`) are none. A word may
    hold a space.
    """
    for row, lines in _lines(source, content):
        words = [line.split("\t") for _, line in lines if not line.startswith("#")]
        keys = (line.partition("=")[2].strip() for _, line in lines if line.startswith(SENTENCE_KEY))
        yield row, lines[0][0], [word for word in words if not NO_WORD.fullmatch(word[0])], next(keys, "")


def _lines(
    source: CellSource, content: Content, mark: str | None = None
) -> Iterator[tuple[int, list[tuple[int, str]]]]:
    """(row, numbered lines) of every sentence; a line that begins with `mark` ends a sentence, as a blank one does."""
    def ends(numbered: tuple[int, str]) -> bool:
        return not numbered[1].strip(" \t") or (mark is not None and numbered[1].startswith(mark))

    for between, lines in groupby(enumerate(read_lines(source.files[0], content.new_hash()), start=1), ends):
        if not between:
            content.rows += 1
            yield content.rows - 1, list(lines)
