"""Tagged sentences: every format of the tagging tasks, with what was met in real files of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep.__main__ import main
from data_prep.base.errors import InputError
from data_prep.kinds.rows import TextBatch
from data_prep.shards.read import Cell, open_cell
from data_prep.sources.batches import Content
from data_prep.sources.cells import read_cell
from data_prep.sources.layouts import find_sources
from data_prep.tasks import TASKS

CONLLU = (
    "# newdoc\n# sent_id = s1\n# text = Vámonos al 15 000.\n1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\tVamos\tir\tVERB\t_\t_\t0\troot\t_\t_\n2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_\n"
    "2.1\tellos\t_\tPRON\t_\t_\t_\t_\t_\t_\n3\t15 000\t15\tNUM\t_\t_\t1\tobj\t_\t_\n\n"
    "# sent_id = s2\n1\t#\t#\tSYM\t_\t_\t0\troot\t_\t_\n\n"
    "# sent_id = s3\n1\thola\thola\t_\t_\t_\t0\troot\t_\t_\n")


def rows_of(folder: Path, task: str, name: str, text: str) -> tuple[TextBatch, Counter[str], int]:
    """(rows, rows left out, rows of the file) of one file."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text.encode())
    (source,) = find_sources(TASKS[task], folder)
    skipped, content = Counter[str](), Content()
    batches = list(read_cell(source, TASKS[task], skipped, content))
    assert len(batches) <= 1
    return batches[0] if batches else TextBatch(), skipped, content.rows


def tags_of(task: str, batch: TextBatch) -> list[list[str]]:
    return [[TASKS[task].labels[tag] for tag in tags] for tags in batch["tags"]]


def test_xtremes_files(tmp_path: Path) -> None:
    """BOM, CRLF, two blank lines, blank lines with spaces, words that look like space, no line end at the end."""
    text = ("\ufeffThe\tDET\r\ndog\u2028s\tNOUN\r\n\r\n\r\n\ufeff\tPUNCT\n\u00a0\tX\n\t \n \tSYM\n\n"
            "a\tDET\nb\n\na\tDET\tmore\n\nde:\tPUNCT\nend\tNOUN ")
    batch, skipped, rows = rows_of(tmp_path, "udpos", "train-de.tsv", text)
    assert batch["words"] == [["The", "dog\u2028s"], ["\ufeff", "\u00a0"], [" "], ["de:", "end"]]
    assert tags_of("udpos", batch) == [["DET", "NOUN"], ["PUNCT", "X"], ["SYM"], ["PUNCT", "NOUN"]]
    assert (batch.ids, rows) == ([0, 1, 2, 5], 6)
    assert skipped == {"a word without a tag": 1, "wrong number of columns": 1}


def test_words_alone(tmp_path: Path) -> None:
    batch, skipped, rows = rows_of(tmp_path, "panx", "test-de.tsv", "New York\nX\n\n\u00a0\n")
    assert (batch["words"], batch["tags"], rows, skipped) == ([["New York", "X"], ["\u00a0"]], [[], []], 2, {})


def test_words_with_the_code_of_the_language(tmp_path: Path) -> None:
    batch, _, _ = rows_of(tmp_path, "panx", "de/train", "de:Bonn\tB-LOC\nde:,\tO\n\nde:http:\tO\nHof\tB-LOC\n\n")
    assert batch["words"] == [["Bonn", ","], ["http:", "Hof"]]
    assert tags_of("panx", batch) == [["B-LOC", "O"], ["O", "B-LOC"]]


@pytest.mark.parametrize(("task", "name", "tags"), [
    ("masakhaner2", "hau/train.txt", ["B-DATE", "I-DATE"]), ("masakhaner2", "data/hau/dev.txt", ["B-PER", "O"]),
    ("xglue_ner", "NER/en.train", ["B-MISC", "I-MISC"]), ("xglue_pos", "de.dev", ["ADJ", "X"])])
def test_words_and_tags_with_a_space_between(tmp_path: Path, task: str, name: str, tags: list[str]) -> None:
    text = f"-DOCSTART- O\n\n15 000 {tags[0]}\nb {tags[1]} \n\nc {tags[1]}\n"
    batch, skipped, rows = rows_of(tmp_path, task, name, text)
    assert (batch["words"], tags_of(task, batch), rows) == ([["15 000", "b"], ["c"]], [tags, tags[1:]], 2)
    assert not skipped


def test_conllu(tmp_path: Path) -> None:
    batch, skipped, rows = rows_of(tmp_path, "udpos", "UD_Spanish/es_gsd-ud-dev.conllu", CONLLU)
    assert batch["words"] == [["Vamos", "nos", "15 000"], ["#"]]
    assert tags_of("udpos", batch) == [["VERB", "PRON", "NUM"], ["SYM"]]
    assert (batch.keys, batch.ids, rows, skipped) == (["s1", "s2"], [0, 1], 3, {"a word without a tag": 1})


def test_universal_ner(tmp_path: Path) -> None:
    text = "# sent_id = a\n# text = x\n1\tBonn\tB-LOC\t-\tann\n2\tGPT\tB-OTH\t-\tann\n"
    batch, _, _ = rows_of(tmp_path, "uner", "UNER_English-EWT/en_ewt-ud-dev.iob2", text)
    assert (batch["words"], tags_of("uner", batch), batch.keys) == ([["Bonn", "GPT"]], [["B-LOC", "O"]], ["a"])


@pytest.mark.parametrize(("text", "message"), [
    ("a\tDET\n\nb\tdet\n", "train-de.tsv, line 3: tag 'det' of word 1 [(]b[)] is not one of ADJ"),
    ("a\tb\tentailment\n", "train-de.tsv, line 1: a sentence with lines of 3 columns, expected 1 or 2 .*TAB"),
    ("a\n\nb\tDET\n", "line 3: tag 'DET', but the first row has none")])
def test_what_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        rows_of(tmp_path, "udpos", "train-de.tsv", text)


def test_files_of_one_name_are_told_apart_by_their_tags(
    tmp_path: Path, tokenizer_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train-en.tsv").write_text("a\tB-PER\n")
    assert main(["build", "sst2" if "sst2" in TASKS else "text", "--source", str(tmp_path), "--tokenizer",
                 str(tokenizer_folder), "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "panx 1" in message
    assert "udpos" not in message


def built(folder: Path, task: str, split: str, language: str) -> Cell:
    return open_cell(folder / "out" / task / split / language, verify="sha256")


def test_hub(tmp_path: Path, tokenizer_folder: Path) -> None:
    """Class labels in lists, as XTREME has them there."""
    names = list(TASKS["panx"].labels)
    info = {"info": {"features": {
        "tokens": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
        "ner_tags": {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "List"}}}}
    table = pa.table({"tokens": [["Bonn", "."], ["x"]], "ner_tags": [[5, 0], [0]]}, schema=pa.schema(
        {"tokens": pa.list_(pa.string()), "ner_tags": pa.list_(pa.int64())}, {"huggingface": json.dumps(info)}))
    repo = tmp_path / "repo"
    repo.mkdir()
    pq.write_table(table, repo / "train.parquet")
    (repo / "README.md").write_text("---\nconfigs:\n- config_name: PAN-X.de\n  data_files:\n  - split: train\n"
                                    "    path: train.parquet\n---\n")
    assert main(["build", "panx", "--source", f"hub:{repo}", "--tokenizer", str(tokenizer_folder), "--out",
                 str(tmp_path / "out")]) == 0
    cell = built(tmp_path, "panx", "train", "de")
    assert cell.dataset["labels"][:] == [[5, 0], [0]]
    assert cell.manifest.label_counts["B-LOC"] == 1


def test_labels_that_come_with_the_data(
    tmp_path: Path, tokenizer_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ccg.train").write_text("the dog , runs\tNP[nb]/N N , S[dcl]\\NP\n")
    (tmp_path / "tags.txt").write_text("N\n,\nNP[nb]/N\nS[dcl]\\NP\n")
    call = ["build", "ccg", "--tokenizer", str(tokenizer_folder), "--out", str(tmp_path / "out")]
    assert main([*call, "--source", str(tmp_path)]) == 2
    assert "ccg: its labels come with the data" in capsys.readouterr().err
    own = ["--source", str(tmp_path / "ccg.train"), "--labels", str(tmp_path / "tags.txt"), "--format", "tsv",
           "--columns", "words=0,tags=1", "--languages", "en", "--splits", "train"]
    assert main([*call, *own]) == 0, capsys.readouterr().err
    cell = built(tmp_path, "ccg", "train", "en")
    assert cell.dataset["labels"][:] == [[2, 0, 1, 3]]


def test_own_sentences(tmp_path: Path, tokenizer_folder: Path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"tokens": ["a", "b"], "ner_tags": ["O", "B-X"]}\n')
    assert main(["build", "mine", "--kind", "tagging", "--source", str(tmp_path / "mine.jsonl"), "--labels",
                 "O,B-X,I-X", "--metric", "span_f1", "--languages", "de", "--splits", "dev", "--tokenizer",
                 str(tokenizer_folder), "--out", str(tmp_path / "out")]) == 0
    assert built(tmp_path, "mine", "dev", "de").dataset["labels"][:] == [[0, 1]]
