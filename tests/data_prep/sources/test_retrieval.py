"""Files of queries and candidates: every line a row, matches as published, cells made of several files."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from data_prep.__main__ import main
from data_prep.base.errors import InputError
from data_prep.shards.read import open_cell
from data_prep.sources.batches import Content
from data_prep.sources.cells import read_cell
from data_prep.sources.layouts import find_sources
from data_prep.tasks import TASKS
from tests.data_prep.sources.test_layouts import cells, lay, unread

QUERY, CANDIDATE, NONE = 0, 1, [""]
Row = tuple[int, str | None, str, int, list[str]]


def rows_of(task: str, folder: Path) -> dict[str, tuple[list[Row], Counter[str], Content]]:
    """By cell: (id, key, text, side, matches) of every row, reasons, row count and hashes."""
    found = {}
    for source in find_sources(TASKS[task], folder):
        skipped, content, rows = Counter[str](), Content(), list[Row]()
        for batch in read_cell(source, TASKS[task], skipped, content):
            keys = batch.keys or [None] * len(batch)
            rows += zip(batch.ids, keys, batch["text"], batch["side"], batch["matches"], strict=True)
        found[f"{source.split}/{source.language}"] = rows, skipped, content
    return found


def test_aligned_lines_in_the_order_of_prediction_files(tmp_path: Path) -> None:
    lay(tmp_path, **{"tatoeba.deu-eng.deu": "zwei\n drei\n\nvier\n", "tatoeba.deu-eng.eng": "two\nthree\nblank\nfour\n",
                     "tatoeba.fin-eng.fin": "x\n"})
    with pytest.raises(InputError, match=r"tatoeba\.fin-eng\.eng is missing beside tatoeba\.fin-eng\.fin; a cell is"):
        cells("tatoeba", tmp_path)
    (tmp_path / "tatoeba.fin-eng.eng").write_text("y\nz\n")
    assert cells("tatoeba", tmp_path) == ["test/deu", "test/fin"]
    with pytest.raises(InputError, match=r"fin: 1 lines, tatoeba\.fin-eng\.eng has 2; they are translations"):
        rows_of("tatoeba", tmp_path)
    (tmp_path / "tatoeba.fin-eng.fin").write_text("x\nx\n")
    rows, skipped, content = rows_of("tatoeba", tmp_path)["test/deu"]
    assert rows == [
        (0, None, "zwei", QUERY, NONE), (1, None, "drei", QUERY, NONE), (3, None, "vier", QUERY, NONE),
        (4, None, "blank", CANDIDATE, ["2"]), (5, None, "four", CANDIDATE, ["3"]), (6, None, "three", CANDIDATE, ["1"]),
        (7, None, "two", CANDIDATE, ["0"])]
    assert (skipped, content.rows) == ({"missing text": 1}, 8)
    files = [tmp_path / f"tatoeba.deu-eng.{part}" for part in ("deu", "eng")]
    assert [one.hexdigest() for one in content.hashes] \
        == [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def test_copies_without_the_alignment_have_no_gold(tmp_path: Path) -> None:
    lay(tmp_path, **{"de-en.de": "zwei\ndrei\n", "de-en.en": "three\ntwo\n"})
    rows, *_ = rows_of("tatoeba", tmp_path)["test/de"]
    assert rows == [(0, None, "zwei", QUERY, []), (1, None, "drei", QUERY, []),
                    (2, None, "three", CANDIDATE, NONE), (3, None, "two", CANDIDATE, NONE)]


@pytest.mark.parametrize("names", [("sample", "bucc2018__de-en__"), ("dev", "")], ids=str)
def test_ids_and_gold_pairs(tmp_path: Path, names: tuple[str, str]) -> None:
    split, folder = names
    stem = f"{folder}de-en.{split}"
    lay(tmp_path, **{f"{stem}.de": "de-1\tein Satz\nde-2\tnoch\teiner\nde-3\n", f"{stem}.en": "en-1\tone\nen-2\ttwo\n",
                     f"{stem}.gold": "de-2\ten-1\n", "de-en.test.de": "de-9\tx\n", "de-en.test.en": "en-9\ty\n"})
    found = rows_of("bucc", tmp_path)
    rows, skipped, content = found["dev/de"]
    assert rows == [(0, "de-1", "ein Satz", QUERY, NONE), (1, "de-2", "noch\teiner", QUERY, ["en-1"]),
                    (3, "en-1", "one", CANDIDATE, NONE), (4, "en-2", "two", CANDIDATE, NONE)]
    assert (skipped, content.rows, len(content.hashes)) == ({"wrong number of columns": 1}, 5, 3)
    assert found["test/de"][0] == [(0, "de-9", "x", QUERY, []), (1, "en-9", "y", CANDIDATE, NONE)]
    gold = next(tmp_path.rglob("*.gold"))
    gold.write_text("de-2\ten-7\n")
    with pytest.raises(InputError, match="gold, line 1: 'de-2' and 'en-7'; expected two ids"):
        rows_of("bucc", tmp_path)


def paragraph(context: str, breaks: list[list[int]], *questions: tuple[str, int]) -> dict[str, Any]:
    return {"context": context, "sentence_breaks": breaks, "qas": [
        {"id": name, "question": f"{name}?", "answers": [{"answer_start": start, "text": "x"}]}
        for name, start in questions]}


def test_sentences_that_answer_a_question(tmp_path: Path) -> None:
    found = {"data": [{"paragraphs": [paragraph("One. Two.", [[0, 4], [5, 9]], ("q1", 5), ("q2", 6), ("q3", 4))]},
                      {"paragraphs": [paragraph("Three\n.", [[0, 7]], ("q4", 0))]}]}
    lay(tmp_path, **{"xquad-r__en.json": json.dumps(found)})
    rows, skipped, content = rows_of("lareqa", tmp_path)["test/en"]
    assert [(key, text, side, matches) for _, key, text, side, matches in rows] == [
        ("q1", "q1?", QUERY, NONE), ("q2", "q2?", QUERY, NONE), ("q4", "q4?", QUERY, NONE),
        ("en_1_0", "One.One. Two.", CANDIDATE, NONE), ("en_1_1", "Two.One. Two.", CANDIDATE, ["q1", "q2"]),
        ("en_2_0", "Three.Three.", CANDIDATE, ["q4"])]
    assert (skipped, content.rows) == ({"answer in no sentence": 1}, 7)
    (tmp_path / "xquad-r/en.json").write_text('{"data": [{"paragraphs": [{"context": "a"}]}]}')
    with pytest.raises(InputError, match="KeyError 'sentence_breaks'; expected SQuAD's JSON with"):
        rows_of("lareqa", tmp_path)


def test_mentions_and_entities(tmp_path: Path) -> None:
    spans = [{"start": 0, "end": 7}, {"start": 8, "end": 25}]
    context = {"text": "Nobody. He met Ann\nthere.", "sentence_spans": spans}
    mentions = [{"example_id": name, "entity_id": gold, "mention_span": {"start": 15, "end": 18, "text": "Ann"}}
                for name, gold in (("a", "Q1"), ("b", ""))]
    entity = {"entity_id": "Q1", "title": "Ann", "description": "Ann is. A person.",
              "sentence_spans": [{"start": 0, "end": 7}, {"start": 8, "end": 17}]}
    lay(tmp_path, **{"wikinews_mentions__test-de.jsonl": json.dumps({"context": context, "mentions": mentions}) + "\n",
                     "candidate_set_entities.jsonl": json.dumps(entity) + "\n"})
    found = rows_of("mewslix", tmp_path)
    assert found["test/de"][0] == [(0, "a", "Ann: He met { Ann } there.", QUERY, ["Q1"]),
                                   (1, "b", "Ann: He met { Ann } there.", QUERY, [])]
    assert found["test/mul"][0] == [(0, "Q1", "Ann is. A person.", CANDIDATE, NONE)]
    (tmp_path / "candidate_set_entities.jsonl").write_text("[1]\n")
    with pytest.raises(InputError, match=r"entities\.jsonl, line 1: .* expected mentions with their context"):
        rows_of("mewslix", tmp_path)


def test_one_file_of_a_cell_beside_the_same_of_another_folder(tmp_path: Path) -> None:
    lay(tmp_path, **{f"{folder}tatoeba.deu-eng.{part}": "x\n" for folder in ("", "v1__") for part in ("deu", "eng")})
    with pytest.raises(InputError, match="two files for tatoeba test deu"):
        cells("tatoeba", tmp_path)


def test_built_cells_know_whether_they_have_gold(tmp_path: Path, tokenizer_folder: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    source = lay(tmp_path / "source", **{
        "tatoeba.deu-eng.deu": "Hund\nKatze\n", "tatoeba.deu-eng.eng": "dog\ncat\n", "fi-en.fi": "Hund\n",
        "fi-en.en": "dog\n", "other.txt": "x\n"})
    assert unread("tatoeba", source) == "not read for tatoeba: 1 file: other.txt"
    command = ["build", "tatoeba", "--source", str(source), "--tokenizer", str(tokenizer_folder), "--out",
               str(tmp_path / "shards")]
    assert main(command) == main(command) == main(["verify", str(tmp_path / "shards")]) == 0
    labelled, sorted_copy = (open_cell(tmp_path / "shards/tatoeba/test" / language) for language in ("deu", "fi"))
    assert (labelled.manifest.has_labels, sorted_copy.manifest.has_labels) == (True, False)
    assert (labelled.manifest.keys, labelled.manifest.source_rows) == ("row", 4)
    assert labelled.table["key"].to_pylist() == ["0", "1", "2", "3"]
    assert labelled.table["matches"].to_pylist() == [[""], [""], ["1"], ["0"]]
    assert main(["peek", str(labelled.path)]) == 0
    shown = capsys.readouterr().out
    assert "query     matches none\n" in shown
    assert "candidate matches 1\n" in shown


def test_own_data(tmp_path: Path, tokenizer_folder: Path) -> None:
    rows = ["id\tsentence\twhich\trelevant", "q1\tHund\tquery\tc1 c2", "q2\tKatze\tquery\tc2", "c1\tdog\tcandidate\t",
            "c2\tanimal\tcandidate\t"]
    lay(tmp_path, **{"mine.tsv": "".join(f"{row}\n" for row in rows)})
    columns = "text=sentence,side=which,matches=relevant,key=id"
    assert main(["build", "mine", "--kind", "retrieval", "--source", str(tmp_path / "mine.tsv"), "--columns", columns,
                 "--metric", "mean_average_precision", "--languages", "de", "--splits", "test", "--tokenizer",
                 str(tokenizer_folder), "--out", str(tmp_path / "shards")]) == 0
    cell = open_cell(tmp_path / "shards/mine/test/de")
    assert (cell.manifest.has_labels, cell.manifest.metric) == (True, "mean_average_precision")
    assert cell.table["key"].to_pylist() == ["q1", "q2", "c1", "c2"]
    assert cell.table["matches"].to_pylist() == [["c1", "c2"], ["c2"], [""], [""]]
