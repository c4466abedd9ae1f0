"""Tasks of pairs, single texts and scores: one file as each publisher lays it out, and what is read from it."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from data_prep.base.errors import InputError
from data_prep.kinds import KINDS
from data_prep.sources.cells import read_cell
from data_prep.sources.layouts import find_sources
from data_prep.tasks import TASKS


def read(folder: Path, task: str, name: str, content: str) -> tuple[Any, list[tuple[Any, ...]], Counter[str]]:
    """The cell, (first, second, gold) of its rows, and the counts of rows left out."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content, encoding="utf-8", newline="")
    (source,) = find_sources(TASKS[task], folder)
    skipped, rows = Counter[str](), []
    gold = "score" if "score" in KINDS[TASKS[task].kind].columns else "label"
    for batch in read_cell(source, TASKS[task], skipped):
        rows += list(zip(batch["first"], batch["second"], batch[gold], strict=True))
    return source, rows, skipped


NLI = "premise\thypothesis\tlabel\na\tb\t{}\n"
ANLI = json.dumps({"uid": "u1", "context": "a", "hypothesis": "b", "label": "n", "reason": ""}) + "\n"
INDIC = json.dumps({"premise": "a", "hypothesis": "b", "label": 0}) + "\n"


@pytest.mark.parametrize(("task", "name", "content", "cell", "rows"), [
    ("anli", "R3/train.jsonl", ANLI, "train en", [("a", "b", 2)]),
    ("qqp", "QQP/train.tsv", 'id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n7\t1\t2\t"a\tb\t1\n', "train en",
     [('"a', "b", 1)]),
    ("qqp", "QQP/test.tsv", "id\tquestion1\tquestion2\n7\ta\tb\n", "test en", [("a", "b", -1)]),
    ("sst2", "SST-2/dev.tsv", "sentence\tlabel\nit 's good \t1\nbad\t0\n", "dev en",
     [("it 's good ", "", 1), ("bad", "", 0)]),
    ("sst2", "SST-2/test.tsv", "index\tsentence\n0\ta\n", "test en", [("a", "", -1)]),
    ("paws", "final/dev.tsv", "id\tsentence1\tsentence2\tlabel\n1\ta\tb\t0\n", "dev en", [("a", "b", 0)]),
    ("nc", "NC/xglue.nc.de.dev", "a\tb\tautos\n", "dev de", [("a", "b", 9)]),
    ("qadsm", "xglue.qadsm.fr.test", "q\tt\td\tGood\n", "test fr", [("q", "t d", 1)]),
    ("qadsm", "xglue.qadsm.fr.test", "q\tt\td\n", "test fr", [("q", "t d", -1)]),
    ("qam", "xglue_full_dataset/QAM/xglue.qam.en.train", "a\tb\t1\n", "train en", [("a", "b", 1)]),
    ("wpr", "WPR/xglue.wpr.pt.dev", "q\tt\ts\t4\nq\tt\tu\t0\n", "dev pt", [("q", "t s", 4.0), ("q", "t u", 0.0)]),
    ("sib200", "annotated/quy_Latn/test.tsv", "index_id\tcategory\ttext\n5\tscience/technology\ta\n", "test quy_Latn",
     [("a", "", 4)]),
    ("afrixnli", "data/swa/test.tsv", NLI.format("contradiction"), "test swa", [("a", "b", 0)]),
    ("afrixnli", "data/swa/test.tsv", NLI.format("0"), "test swa", [("a", "b", 1)]),
    ("americasnli", "test/quy.tsv", NLI.format("neutral"), "test quy", [("a", "b", 2)]),
    ("indicxnli", "forward/test/xnli_ta.json", INDIC, "test ta", [("a", "b", 1)]),
    ("xnli", "translate-train/en-sw-translated.tsv", "a\tb\tc\td\tcontradictory\n", "train sw", [("c", "d", 0)]),
    ("stsb", "stsb-de-dev.csv", 'a,"b, c",2.4\r\nd,e,5.0\r\n', "dev de", [("a", "b, c", 2.4), ("d", "e", 5.0)]),
    ("stsb", "STS-B/dev.tsv", 'index\tgenre\tsentence1\tsentence2\tscore\n0\tm\ta "\tb\t3.2\n', "dev en",
     [('a "', "b", 3.2)]),
    ("sick_relatedness", "SICK_trial.txt",
     "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n4\ta\tb\t3,7\tNEUTRAL\n", "dev en",
     [("a", "b", 3.7)]),
    ("sts17", "sts17-test-ko.tsv", "a\tb\t0\n", "test ko", [("a", "b", 0.0)]),
    ("sts22", "sts22-test-pl.tsv", "a\tb\t1.5\n", "test pl", [("a", "b", 1.5)]),
])
def test_a_file_of_each_publisher(
    tmp_path: Path, task: str, name: str, content: str, cell: str, rows: list[tuple[Any, ...]]
) -> None:
    source, found, skipped = read(tmp_path, task, name, content)
    assert f"{source.split} {source.language}" == cell
    assert found == rows
    assert not skipped


def test_scores_that_are_missing(tmp_path: Path) -> None:
    _, rows, _ = read(tmp_path / "a", "stsb", "stsb-en-test.csv", "a,b\nc,d\n")
    assert [math.isnan(score) for *_, score in rows] == [True, True]
    _, rows, skipped = read(tmp_path / "b", "stsb", "stsb-en-dev.csv", "a,b,1\nc,d,\n,,2\n")
    assert rows == [("a", "b", 1.0)]
    assert skipped == {"no label": 1, "both texts empty": 1}


@pytest.mark.parametrize(("content", "message"), [
    ("a,b,1\nc,d,much\n", "line 2: score 'much' is not a number"), ("a,b,nan\n", "line 1: score 'nan' is not a number"),
    ("a,b,5.1\n", r"line 1: score 5.1 is outside 0 to 5 \(stsb\)"), ("a,b,-1\n", "line 1: score -1 is outside"),
    ("a,b,\nc,d,2\n", "line 2: score '2', but the first row has none")])
def test_scores_that_are_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, "stsb", "stsb-en-dev.csv", content)
