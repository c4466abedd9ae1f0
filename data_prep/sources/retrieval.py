"""Files of queries and candidates: aligned lines, texts with ids and gold pairs, answer sentences, entity mentions.

Input: a `CellSource`. Output: (line number, record) of the fields of kind `retrieval`, queries first.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from data_prep.base.errors import InputError
from data_prep.kinds.rows import Record
from data_prep.shards.manifest import WRONG_COLUMNS
from data_prep.sources.batches import Content
from data_prep.sources.layouts import CellSource
from data_prep.sources.lines import read_lines, read_rows
from data_prep.tasks.task import GOLD_PART, Task

NO_SENTENCE = "answer in no sentence"
Numbered = Iterator[tuple[int, Record]]


def aligned_lines(source: CellSource, task: Task, skipped: Counter[str], content: Content) -> Numbered:
    """Two files of which line i of one translates line i of the other (Tatoeba as LASER publishes it).

    Candidates are sorted by their text, which is the order of XTREME's own copies and so of its prediction files
    (`utils_preprocess.py`). Raises InputError for files of unequal length.
    """
    queries, candidates = ([line.strip() for line in read_lines(file, content.new_hash())] for file in source.files)
    if len(queries) != len(candidates):
        raise InputError(f"{source.files[0]}: {len(queries)} lines, {source.files[1].name} has {len(candidates)}; they "
                         "are translations of each other line by line: download both again")
    order = sorted(range(len(candidates)), key=candidates.__getitem__)
    yield from _numbered(content, [_text(text, "query", []) for text in queries],
                         [_text(candidates[line], "candidate", [str(line)]) for line in order])


def unaligned_lines(source: CellSource, task: Task, skipped: Counter[str], content: Content) -> Numbered:
    """Two files of lines in unrelated orders, without gold answers (XTREME's copies of Tatoeba)."""
    queries, candidates = ([line.strip() for line in read_lines(file, content.new_hash())] for file in source.files)
    yield from _numbered(content, [_text(text, "query") for text in queries],
                         [_text(text, "candidate") for text in candidates])


def identified_lines(source: CellSource, task: Task, skipped: Counter[str], content: Content) -> Numbered:
    """Two files of `id<TAB>text` and, where it is public, one of gold pairs `id<TAB>id` (BUCC).

    Raises InputError for a gold pair of an id that neither file has.
    """
    tables = [[line.split("\t", 1) for line in read_rows(file, content.new_hash())] for file in source.files]
    queries, candidates = tables[:2]
    matches: defaultdict[str, list[str]] | None = None
    if source.files[-1].suffix == f".{GOLD_PART}":
        known, matches = {row[0].strip() for table in tables[:2] for row in table}, defaultdict(list)
        for number, pair in enumerate(tables[2], start=1):
            first, second = (name.strip() for name in (*pair, "")[:2])
            if not {first, second} <= known:
                raise InputError(f"{source.files[-1]}, line {number}: {first!r} and {second!r}; expected two ids of "
                                 f"{source.files[0].name} and {source.files[1].name} with TAB between them")
            matches[first].append(second)
    yield from _numbered(content, *(
        [{"key": row[0].strip(), **_text(row[1], side, None if matches is None else matches.get(row[0].strip(), []))}
         if len(row) == 2 else None for row in table]
        for side, table in (("query", queries), ("candidate", candidates))), skipped=skipped)


def answer_sentences(source: CellSource, task: Task, skipped: Counter[str], content: Content) -> Numbered:
    """Questions as queries, all sentences of their paragraphs as candidates (XQuAD-R): SQuAD's JSON and, for every
    paragraph, `sentence_breaks`, the [start, end) of each sentence.

    A candidate matches the questions whose answer begins in it, by ids that all languages share. Its text is the
    sentence with the paragraph behind it, as in XTREME-R (`evaluate_retrieval.py`). Raises InputError for other JSON.
    """
    queries: list[dict[str, Any] | None] = []
    candidates: list[dict[str, Any] | None] = []
    try:
        paragraphs = [one for passage in _json(source.files[0], content)["data"] for one in passage["paragraphs"]]
        for number, paragraph in enumerate(paragraphs, start=1):
            context, breaks = paragraph["context"], paragraph["sentence_breaks"]
            answering = defaultdict[int, list[str]](list)
            for question in paragraph["qas"]:
                start = question["answers"][0]["answer_start"]
                at = next((at for at, (first, end) in enumerate(breaks) if first <= start < end), None)
                if at is None:
                    skipped[NO_SENTENCE] += 1
                    content.rows += 1
                    continue
                answering[at].append(question["id"])
                queries.append({"key": question["id"], **_text(question["question"], "query", [])})
            candidates += [
                {"key": f"{source.language}_{number}_{at}",
                 **_text(f"{context[first:end]}{context}".replace("\n", ""), "candidate", answering[at])}
                for at, (first, end) in enumerate(breaks)]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"{source.files[0]}: {type(error).__name__} {error}; expected SQuAD's JSON with "
                         "sentence_breaks in every paragraph") from None
    yield from _numbered(content, queries, candidates)


def entity_mentions(source: CellSource, task: Task, skipped: Counter[str], content: Content) -> Numbered:
    """Mentions in context as queries, or descriptions of entities as candidates (Mewsli-X): one object per line.

    Texts are those of XTREME-R's `utils_mewslix.py`: "mention: left { mention } right" within the mention's sentence,
    and the sentences of a description. An empty `entity_id`, as in XTREME-R's test files, is no gold answer.
    Raises InputError for other JSON.
    """
    rows: list[dict[str, Any] | None] = []
    for number, line in enumerate(read_rows(source.files[0], content.new_hash()), start=1):
        try:
            found = json.loads(line)
            if "mentions" not in found:
                sentences = " ".join(_cut(found["description"], span) for span in found["sentence_spans"])
                rows.append({"key": found["entity_id"], **_text(_flat(sentences), "candidate", [])})
                continue
            for mention in found["mentions"]:
                gold = mention["entity_id"]
                rows.append({"key": mention["example_id"],
                             **_text(_in_context(mention["mention_span"], found["context"]), "query",
                                     [gold] if gold else None)})
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{source.files[0]}, line {number}: {type(error).__name__} {error}; expected mentions "
                             "with their context, or an entity with its description") from None
    yield from _numbered(content, rows)


def _in_context(span: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    """The mention, and the sentence that holds it with braces around it; the whole text where no sentence does."""
    text, start, end = context["text"], span["start"], span["end"]
    whole = {"start": 0, "end": len(text)}
    sentence = next((one for one in context["sentence_spans"] if one["start"] <= start and end <= one["end"]), whole)
    left, right = text[sentence["start"]:start], text[end:sentence["end"]]
    return _flat(f"{text[start:end]}: {left} {{ {text[start:end]} }} {right}")


def _cut(text: str, span: Mapping[str, Any]) -> str:
    return text[span["start"]:span["end"]]


def _flat(text: str) -> str:
    return " ".join(text.splitlines()).replace("  ", " ").strip()


def _text(text: str, side: str, matches: list[str] | None = None) -> dict[str, Any]:
    return {"text": text, "side": side, "matches": matches}


def _json(file: Path, content: Content) -> Any:
    return json.loads("\n".join(read_lines(file, content.new_hash())))


def _numbered(
    content: Content, *tables: Iterable[dict[str, Any] | None], skipped: Counter[str] | None = None
) -> Numbered:
    """Records of the rows of all tables, numbered through; None is a row of a wrong number of columns."""
    for table in tables:
        for number, values in enumerate(table, start=1):
            row = content.rows
            content.rows += 1
            if values is not None:
                yield number, Record(row, values, key=values.get("key"))
            elif skipped is not None:
                skipped[WRONG_COLUMNS] += 1
