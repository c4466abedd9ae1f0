"""XQuAD and TyDiQA-GoldP, where they are: every question arrives, every span leads back to its answer, and the scores
of a run are those that its prediction files have under SQuAD's rule, counted here from the publishers' files."""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from pathlib import Path

import pytest

from data_prep.__main__ import main
from data_prep.kinds.span_qa import INSIDE
from data_prep.shards.read import open_cell
from data_prep.tokenizer import save_tokenizer, train_tokenizer
from tests.real.commands import DATA, run
from trainer.results.scores import read_rows

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (DATA / "xquad").is_dir(), reason=f"the real benchmark files are not at {DATA}"),
]
FILES = {"xquad/test/en": "xquad/xquad.en.json", "xquad/test/tr": "xquad/xquad.tr.json",
         "tydiqa/train/sw": "tydiqa/tydiqa.goldp.sw.train.json", "tydiqa/test/sw": "tydiqa/tydiqa.goldp.sw.dev.json"}
QUESTIONS = {"xquad/test/en": 1190, "xquad/test/tr": 1190, "tydiqa/train/sw": 2755, "tydiqa/test/sw": 499}
MAX_LENGTH = 320


def published(cell: str) -> list[tuple[str, str, str, str]]:
    """(id, question, context, first answer) of every question of a publisher's file."""
    content = json.loads((DATA / FILES[cell]).read_text(encoding="utf-8-sig"))
    return [(asked["id"], asked["question"], part["context"], asked["answers"][0]["text"])
            for article in content["data"] for part in article["paragraphs"] for asked in part["qas"]]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("questions")
    texts = [context for cell in FILES for _, _, context, _ in published(cell)[:400:5]]
    save_tokenizer(train_tokenizer(texts, 3000), root / "tokenizer")
    for task in ("xquad", "tydiqa"):
        assert main(["build", task, "--source", str(DATA / task), "--tokenizer", str(root / "tokenizer"),
                     "--out", str(root / "shards"), "--max_length", str(MAX_LENGTH)]) == 0
    return root / "shards"


@pytest.mark.parametrize("name", FILES)
def test_spans_lead_back_to_the_answers(shards: Path, name: str) -> None:
    """In every window that is labelled; but for answers that end inside a piece, where the pieces hold the answer."""
    cell, rows = open_cell(shards / name), published(name)
    assert len(rows) == cell.manifest.source_rows == cell.manifest.examples == QUESTIONS[name]
    assert (cell.manifest.skipped, cell.manifest.has_labels) == ({}, name != "tydiqa/test/sw")
    labelled, longer = set(), set()
    for window in cell.table.to_pylist():
        key, _, context, answer = rows[window["id"]]
        assert (window["context"], window["answers"]) == (context, [answer] if answer else [])
        assert window["key"] == (key if cell.manifest.keys == "publisher" else str(window["id"]))
        if window["start"] < 0:
            continue
        places = window["offsets"]
        begin, end = places[2 * window["start"]], places[2 * window["end"] + 1]
        labelled.add(window["id"])
        if context[begin:end] != answer.strip():
            longer.add(window["id"])
            assert answer.strip() in context[begin:end]
            assert places[2 * window["start"] + 1] > context.index(answer.strip(), begin), "no piece too many"
    assert len(longer) == cell.manifest.kept.get(INSIDE, 0) < 0.1 * len(rows)
    # too long for a window: labelled in none, and counted
    others = len(rows) - len(labelled) if cell.manifest.has_labels else 0
    assert sum(cell.manifest.kept.values()) == len(longer) + others
    assert others < 0.02 * len(rows)


def tokens(text: str) -> list[str]:
    text = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def f1(predicted: str, answer: str) -> float:
    same = sum((Counter(tokens(predicted)) & Counter(tokens(answer))).values())
    return 2 * same / (len(tokens(predicted)) + len(tokens(answer))) if same else 0.0


def test_a_run_is_scored_in_every_language(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        f"output: {tmp_path / 'runs'}\nmodel: {{random: tiny}}\ndata: {{shards: {shards}, train: [tydiqa/train/sw]}}\n"
        "batch: {size: 16}\nschedule: {max_steps: 4}\nengine: {config: zero0}\n", encoding="utf-8")
    run(tmp_path, "python", "-m", "trainer", "train", str(tmp_path / "r.yaml"), "--name", "qa")
    run(tmp_path, "python", "-m", "trainer", "evaluate", str(tmp_path / "runs/qa"), "--tasks", "xquad,tydiqa",
        "--splits", "test", "--precision", "fp32")
    scores = {(row.task, row.language, row.metric): row.value
              for row in read_rows(tmp_path / "runs/qa/eval/results.jsonl")}
    assert scores.keys() == {(task, language, metric) for task, language in (
        ("xquad", "en"), ("xquad", "tr"), ("tydiqa", "sw")) for metric in ("answer_f1", "exact_match")}
    for (task, language, metric), value in scores.items():
        rows = published(f"{task}/test/{language}")
        written = json.loads((tmp_path / f"runs/qa/eval/predictions/{task}/test-{language}.json").read_text("utf-8"))
        assert list(written) == [key for key, *_ in rows], "every question, in the publisher's order"
        assert all(written[key] in context for key, _, context, _ in rows)
        if task == "tydiqa":
            assert value is None, "no answers are published"
            continue
        found = [f1(written[key], answer) if metric == "answer_f1" else float(tokens(written[key]) == tokens(answer))
                 for key, _, _, answer in rows]
        assert value == pytest.approx(sum(found) / len(found), rel=1e-12)
