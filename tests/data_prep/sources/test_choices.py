"""Files of multiple choice and of bitext as their publishers lay them out."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from data_prep.base.errors import InputError
from data_prep.sources.cells import read_cell
from data_prep.sources.layouts import find_sources
from data_prep.tasks import TASKS

COPA = {"premise": "It rained.", "choice1": "a", "choice2": "b", "question": "effect", "idx": 7, "label": 1}
EFFECT = "It rained. What happened as a result?"
STORY = "\t".join(["InputStoryid", *(f"InputSentence{n}" for n in range(1, 5)), "RandomFifthSentenceQuiz1",
                   "RandomFifthSentenceQuiz2", "AnswerRightEnding"]) + "\nk\tA.\tB.\tC.\tD.\tx\ty\t2\n"
COSMOS = "id,context,question,answer0,answer1,answer2,answer3,label\nk,\"A, b.\",Q?,a,b,c,d,3\n"
SIQA = {"context": "A.", "question": "Q?", "answerA": "a", "answerB": "b", "answerC": "c"}
HELLA = {"ind": 4, "ctx": "A man", "endings": ["a", "b", "c", "d"], "label": 2}
CSQA = {"id": "k", "question": {"stem": "Q?", "choices": [{"label": "A", "text": "a"}, {"label": "B", "text": "b"}]}}
BELEBELE = {"link": "l", "question_number": 1, "flores_passage": "A.", "question": "Q?", "correct_answer_num": "4",
            **{f"mc_answer{n}": "abcd"[n - 1] for n in range(1, 5)}}


def without_label(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "label"}


@pytest.mark.parametrize(("task", "files", "cell", "expected"), [
    ("copa", {"COPA/train.jsonl": COPA}, "train/en", (EFFECT, 2, 1, "7")),
    ("copa", {"test.jsonl": without_label(COPA)}, "test/en", (EFFECT, 2, -1, "7")),
    ("copa", {"test-en.jsonl": COPA | {"label": 0}}, "test/en", (EFFECT, 2, -1, "7")),
    ("xcopa", {"data/qu/val.qu.jsonl": COPA}, "dev/qu", (EFFECT, 2, 1, "7")),
    ("xcopa", {"DERIVED.test.en.jsonl": COPA}, "test/en", (EFFECT, 2, 1, "7")),
    ("xcopa", {"train-en.jsonl": COPA}, "train/en", (EFFECT, 2, 1, "7")),
    ("siqa", {"train.jsonl": SIQA, "train-labels.lst": "3\n"}, "train/en", ("A. Q?", 3, 2, None)),
    ("hellaswag", {"hellaswag_val.jsonl": HELLA}, "dev/en", ("A man", 4, 2, "4")),
    ("hellaswag", {"hellaswag_test.jsonl": without_label(HELLA)}, "test/en", ("A man", 4, -1, "4")),
    ("cosmosqa", {"data/valid.csv": COSMOS}, "dev/en", ("A, b. Q?", 4, 3, "k")),
    ("commonsenseqa", {"train_rand_split.jsonl": CSQA | {"answerKey": "B"}}, "train/en", ("Q?", 2, 1, "k")),
    ("commonsenseqa", {"test_rand_split_no_answers.jsonl": CSQA}, "test/en", ("Q?", 2, -1, "k")),
    ("belebele", {"Belebele/zho_Hans.jsonl": BELEBELE}, "test/zho_Hans", ("A. Q?", 4, 3, None)),
    ("xstorycloze", {"spring2016.val.eu.tsv.split_20_80_eval.tsv": STORY}, "test/eu", ("A. B. C. D.", 2, 1, "k")),
], ids=lambda value: value if isinstance(value, str) else "")
def test_publishers_files(tmp_path: Path, task: str, files: dict[str, Any], cell: str, expected: Any) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content) + "\n")
    (source,) = find_sources(TASKS[task], tmp_path)
    assert f"{source.split}/{source.language}" == cell
    skipped: Counter[str] = Counter()
    (batch,) = read_cell(source, TASKS[task], skipped)
    first, choices, label, key = expected
    assert (batch["first"], [len(batch["choices"][0])], batch["label"]) == ([first], [choices], [label])
    assert batch.keys == ([key] if key else [])
    assert batch["choices"][0][:2] in (["a", "b"], ["x", "y"])
    assert not skipped


def lines_of(folder: Path, **files: str) -> list[tuple[str, list[str], list[str]]]:
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content.replace("_", "\n"))
    found = []
    for source in find_sources(TASKS["bitext"], folder):
        (batch,) = read_cell(source, TASKS["bitext"], Counter())
        found.append((f"{source.split}/{source.language}", batch["first"], batch["second"]))
    return found


def test_bitext_in_two_files_or_one(tmp_path: Path) -> None:
    (tmp_path / "dev.en-de.tsv").write_text("a\tA\n")
    assert lines_of(tmp_path, tatoeba__deu_eng="") == [("dev/en_de", ["a"], ["A"])]
    (tmp_path / "tatoeba.deu-eng.deu").write_text("A\nB\n")
    (tmp_path / "tatoeba.deu-eng.eng").write_text("a\nb\n")
    assert lines_of(tmp_path) == [("train/deu_eng", ["A", "B"], ["a", "b"]), ("dev/en_de", ["a"], ["A"])]
    (tmp_path / "tatoeba.deu-eng.eng").write_text("a\n")
    with pytest.raises(InputError, match=r"deu-eng\.eng: 1 lines, tatoeba\.deu-eng\.deu has more"):
        lines_of(tmp_path)
    (tmp_path / "tatoeba.deu-eng.eng").unlink()
    with pytest.raises(InputError, match=r"tatoeba\.deu-eng\.eng is missing beside tatoeba\.deu-eng\.deu"):
        lines_of(tmp_path)


def test_labels_beside_their_rows_must_be_as_many(tmp_path: Path) -> None:
    (tmp_path / "dev.jsonl").write_text(json.dumps(SIQA) + "\n")
    (tmp_path / "dev-labels.lst").write_text("1\n2\n")
    (source,) = find_sources(TASKS["siqa"], tmp_path)
    with pytest.raises(InputError, match=r"dev-labels\.lst: 2 labels, dev\.jsonl has 1 rows"):
        list(read_cell(source, TASKS["siqa"], Counter()))
