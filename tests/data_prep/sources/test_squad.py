"""SQuAD's JSON: every question is a row, numbered in order, whatever the bytes are cut into; other JSON is refused."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from data_prep.base.errors import InputError
from data_prep.sources import lines
from data_prep.sources.batches import Content
from data_prep.sources.cells import read_cell
from data_prep.sources.layouts import find_sources
from data_prep.tasks import TASKS


def paragraph(context: str, *asked: tuple[str, str, Any]) -> dict[str, Any]:
    return {"context": context, "qas": [{"id": key, "question": question, "answers": answers}
                                        for key, question, answers in asked]}


def document(*paragraphs: Any) -> str:
    return json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": [one]} for one in paragraphs]})


def rows(folder: Path, task: str, name: str, text: str) -> tuple[dict[str, list[tuple[Any, ...]]], Content]:
    """By language (row, key, question, answers) of each kept row of a file, and what was counted of the last cell."""
    (folder / name).write_text(text, encoding="utf-8")
    found, content = {}, Content()
    for source in find_sources(TASKS[task], folder):
        content = Content()
        found[source.language] = [row for batch in read_cell(source, TASKS[task], Counter(), content) for row in zip(
            batch.ids, batch.keys, batch["question"], batch["answers"], strict=True)]
    return found, content


def test_questions_are_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "CHUNK", 7)  # paragraphs and characters are cut by it
    text = document(paragraph("the çat 🐈 sat", ("k1", "who?", [{"text": "çat", "answer_start": 4}]),
                              ("k2", " ", [{"text": "sat", "answer_start": 10}])),
                    paragraph("dogs", (7, "what?", [{"text": "dogs", "answer_start": 0}])))
    found, content = rows(tmp_path, "xquad", "xquad.tr.json", "\ufeff" + text)
    assert found == {"tr": [(0, "k1", "who?", ["çat"]), (2, "7", "what?", ["dogs"])]}
    assert content.rows == 3
    assert content.sha256 == hashlib.sha256((tmp_path / "xquad.tr.json").read_bytes()).hexdigest()


def test_one_file_of_several_languages(tmp_path: Path) -> None:
    answer = [{"text": "a", "answer_start": 0}]
    text = document(paragraph("a", ("finnish-1-0", "x", answer)), paragraph("a", ("swahili--2-0", "y", answer)),
                    paragraph("a", ("finnish-3-0", "z", [{"text": "", "answer_start": 0}])))
    found, _ = rows(tmp_path, "tydiqa", "tydiqa-goldp-v1.1-dev.json", text)
    assert found == {"fi": [(0, "finnish-1-0", "x", ["a"]), (1, "finnish-3-0", "z", [])],
                     "sw": [(0, "swahili--2-0", "y", ["a"])]}
    with pytest.raises(InputError, match=r"line 1: '[?]' in the column id"):
        rows(tmp_path, "tydiqa", "tydiqa-goldp-v1.1-dev.json", document(paragraph("a", ("maltese-1", "x", answer))))


def test_languages_of_paragraph_and_question(tmp_path: Path) -> None:
    for name in ("de-question-de", "de-question-en"):
        (tmp_path / f"test-context-{name}.json").write_text(document(paragraph("a", ("k", "x", []))), encoding="utf-8")
    assert [source.language for source in find_sources(TASKS["mlqa"], tmp_path)] == ["de", "de_question_en"]


@pytest.mark.parametrize(("text", "message"), [
    ("{", "not JSON .*parse error: premature EOF.*expected"), ('{"data": [{"paragraphs": [3]}]}', "behind question 0"),
    (document(paragraph("a", ("k", "x", [])), {"context": "b"}), "behind question 1: a paragraph without a list"),
    (document({"context": None, "qas": [{"id": "k", "question": "x"}]}), "question 1: no text of context"),
    (document({"context": "a", "qas": ["x"]}), "question 1: no text of context, question or id"),
    (document(paragraph("a", ("k", "x", [{"text": 3, "answer_start": 0}]))), "question 1: answer .* has no text"),
    (document(paragraph("a", ("k", "x", [{"text": "a", "answer_start": "0"}]))), "its start is no number"),
])
def test_other_json_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        rows(tmp_path, "squad", "dev-v1.1.json", text)


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "dev-v1.1.json").write_bytes(b'{"data":\n[\xff]}')
    with pytest.raises(InputError, match="line 2: not UTF-8"):
        list(read_cell(find_sources(TASKS["squad"], tmp_path)[0], TASKS["squad"], Counter()))

