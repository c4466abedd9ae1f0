"""Own data from the command line: columns, labels and kinds by flags, and what does not fit refused beforehand."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from data_prep.__main__ import main
from data_prep.kinds import KINDS
from data_prep.shards.read import Cell, open_cell
from data_prep.tokenizer import load_tokenizer

ROWS = [("the dog runs", "a dog", "0"), ("a cat, red", 'the "cat"', "2"), ("the man", "no man", "1")]
LABELS = ["--labels", "0=entailment,1=neutral,2=contradiction"]
NAMED = ["--columns", "premise=text_a,hypothesis=text_b,label=gold,id=nr"]


def quoted(field: str) -> str:
    return '"' + field.replace('"', '""') + '"'


def written(folder: Path, name: str, header: bool = True) -> Path:
    """The rows as a file of the format that the name tells, with a column that is not read."""
    rows = [(*row, f"k{at}", "x") for at, row in enumerate(ROWS)]
    rows = [("text_a", "text_b", "gold", "nr", "note"), *rows] if header else rows
    file = folder / name
    if ".json" in name:
        objects = [{"pair": {"text_a": first, "text_b": second}, "gold": int(label), "nr": f"k{at}"}
                   for at, (first, second, label) in enumerate(ROWS)]
        text = "".join(json.dumps(one) + "\n" for one in objects)
    else:
        text = "".join((",".join(map(quoted, row)) if ".csv" in name else "\t".join(row)) + "\n" for row in rows)
    file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return file


def build(task: str, file: Path, tokenizer: Path, *more: str, language: str = "de", split: str = "train") -> int:
    return main(["build", task, "--source", str(file), "--languages", language, "--splits", split, "--tokenizer",
                 str(tokenizer), "--out", str(file.parent / "out"), *more])


def texts(cell: Cell, tokenizer: Path) -> list[tuple[str, ...]]:
    decoder = load_tokenizer(str(tokenizer))
    return [tuple(decoder.decode(row[name]) for name in ("first_ids", "second_ids")) for row in cell.dataset]


@pytest.mark.parametrize(("name", "columns"), [
    ("mine.tsv", NAMED), ("mine.csv", NAMED), ("mine.tsv.gz", NAMED),
    ("mine.jsonl", ["--columns", "premise=pair.text_a,hypothesis=pair.text_b,label=gold,id=nr"]),
    ("headless.tsv", ["--columns", "first=0,second=1,label=2,key=3"]),
    ("headless.csv", ["--columns", "first=0,second=1,label=2,key=3"]),
])
def test_columns_of_a_known_task(tokenizer_folder: Path, tmp_path: Path, name: str, columns: list[str]) -> None:
    file = written(tmp_path, name, header=not name.startswith("headless"))
    assert build("xnli", file, tokenizer_folder, *columns, *LABELS) == 0
    cell = open_cell(tmp_path / "out/xnli/train/de", verify="sha256")
    assert [cell.manifest.labels[label] for label in cell.dataset["label"]] == [
        "entailment", "contradiction", "neutral"]
    assert (cell.dataset["key"][:], cell.manifest.parallel) == (["k0", "k1", "k2"], False)
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "train-de.tsv").write_text("".join(f"{a}\t{b}\tneutral\n" for a, b, _ in ROWS))
    assert main(["build", "xnli", "--source", str(plain), "--tokenizer", str(tokenizer_folder), "--out",
                 str(plain / "out")]) == 0
    assert texts(cell, tokenizer_folder) == texts(open_cell(plain / "out/xnli/train/de"), tokenizer_folder)
    assert build("xnli", file, tokenizer_folder, *columns, *LABELS) == 0
    assert build("xnli", file, tokenizer_folder, *columns, "--labels", "0=neutral,1=entailment,2=contradiction") == 2


def test_a_task_that_is_nobodys(tokenizer_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("0=no\n1=perhaps\n2=yes\n")
    file = written(tmp_path, "mine.tsv")
    more = ["--kind", "pair", "--labels", str(tmp_path / "labels.txt")]
    assert build("my_task", file, tokenizer_folder, *more, "--metric", "f1,accuracy", "--parallel", *NAMED) == 0
    manifest = open_cell(tmp_path / "out/my_task/train/de").manifest
    assert (manifest.labels, manifest.label_counts) == (["no", "perhaps", "yes"], {"no": 1, "perhaps": 1, "yes": 1})
    assert (manifest.metrics, manifest.parallel, manifest.language_info.name) == (["f1", "accuracy"], True, "German")
    assert "mine.tsv (" in manifest.source
    assert build("my_task", file, tokenizer_folder, *more, "--metric", "f1,accuracy", *NAMED, split="dev") == 0


def test_columns_are_found_by_the_names_of_fields(tokenizer_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("id\tsentence2\tsentence1\tclass\nx\tb c\ta\tno\ny\td\te f\tyes\n")
    assert build("my_task", tmp_path / "mine.txt", tokenizer_folder, "--kind", "pair", "--labels", "no,yes") == 0
    cell = open_cell(tmp_path / "out/my_task/train/de")
    assert (cell.dataset["key"][:], cell.dataset["label"][:], cell.manifest.metric) == (["x", "y"], [0, 1], "accuracy")
    assert texts(cell, tokenizer_folder) == [("a", "b c"), ("e f", "d")]


def test_test_sets_need_no_labels(tokenizer_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.tsv").write_text("sentence1\tsentence2\na\tb\n")
    assert build("xnli", tmp_path / "mine.tsv", tokenizer_folder, split="test") == 0
    assert not open_cell(tmp_path / "out/xnli/test/de").manifest.has_labels


@pytest.mark.parametrize(("name", "content", "more"), [
    ("mine.txt", "the dog\n\na cat\tder Hund\n", []),
    ("mine.tsv", "body\tx\nthe dog\t1\na cat\t2\n", ["--columns", "text=body"]),
    ("mine.jsonl", '{"text": "the dog"}\n{"text": ["a cat", "der Hund"]}\n', []),
])
def test_unlabelled_text(tokenizer_folder: Path, tmp_path: Path, name: str, content: str, more: list[str]) -> None:
    (tmp_path / name).write_text(content)
    assert build("my_text", tmp_path / name, tokenizer_folder, "--kind", "mlm", *more) == 0
    cell = open_cell(tmp_path / "out/my_text/train/de")
    assert (cell.manifest.metric, len(cell)) == ("perplexity", 2)
    assert [first for first, _ in texts(cell, tokenizer_folder)] == ["the dog", "a cat"]


@pytest.mark.parametrize(("task", "more", "message"), [
    ("xnli", ["--columns", "premise=text_a,hypothesis=text_c,label=gold"],
     "no column 'text_c'; its header is: text_a, text_b, gold, nr, note; "),
    ("xnli", ["--columns", "premis=text_a"], "'premis=text_a' is no FIELD=COLUMN, or a field twice; fields: first ("),
    ("xnli", ["--columns", "first=text_a,premise=text_b"], "'premise=text_b' is no FIELD=COLUMN, or a field twice"),
    ("xnli", ["--columns", "first=0,second=text_b"], "names and positions"),
    ("xnli", ["--columns", "second=text_b,label=gold"], "kind pair needs a column for 'first'"),
    ("xnli", ["--columns", "first=0,second=1,label=2"], "a header (text_a, text_b, gold, nr, note), but"),
    ("xnli", [*NAMED], "line 2: label '0' is not one of contradiction, entailment, neutral (xnli)"),
    ("xnli", [*NAMED, "--labels", "0=maybe"], "'maybe' is no label of xnli; its labels: contradiction, entailment"),
    ("xnli", [*NAMED, "--labels", "0=neutral,0=neutral"], "'0=neutral' is empty or repeated"),
    ("xnli", [*NAMED, "--kind", "mlm"], "--kind mlm: xnli is a task of kind pair"),
    ("xnli", [*NAMED, "--format", "xml"], "format 'xml' is not known; name one with --format: lines, tsv"),
    ("xnli", [], "no column named as a field of kind pair; its header is: text_a, text_b"),
    ("mine", [], "no task 'mine'; tasks: xnli, "),
    ("mine", ["--kind", "pairs"], "no kind 'pairs'; kinds: pair, "),
    ("mine", ["--kind", "pair", *NAMED], "a task of kind pair needs its labels"),
    ("mine", ["--kind", "mlm", "--labels", "a,b"], "kind mlm has no label set"),
    ("mine", ["--kind", "pair", "--labels", "a,b", "--metric", "perplexity", *NAMED], "expected two labels or more"),
    ("a/b", ["--kind", "mlm"], "task name 'a/b': expected letters"),
])
def test_what_does_not_fit_is_one_line_before_anything_is_written(
    tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, more: list[str], message: str
) -> None:
    assert build(task, written(tmp_path, "mine.tsv"), tokenizer_folder, *more) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["mine.tsv"]


@pytest.mark.parametrize(("words", "message"), [
    ({"--languages": "de,en"}, "--languages: own data is one language and one split per file, found de, en"),
    ({"--splits": "valid"}, "no split 'valid'"), ({"--source": "hub"}, "is one file, found none"),
    ({"--source": "."}, "is one file, found a folder")])
def test_one_file_of_one_language_and_split(
    tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: dict[str, str], message: str
) -> None:
    flags = {"--source": str(written(tmp_path, "mine.tsv")), "--languages": "de", "--splits": "dev", "--tokenizer":
             str(tokenizer_folder), "--out": str(tmp_path / "out"), "--columns": NAMED[1], **words}
    assert main(["build", "xnli", *(word for pair in flags.items() for word in pair)]) == 2
    assert message in capsys.readouterr().err


OWN: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "pair": ([{"text": "a dog", "label": "no"}, {"text": "a cat", "label": "yes"}], ["--labels", "no,yes"]),
    "mlm": ([{"text": "a dog"}], []),
    "regression": ([{"sentence1": "a dog", "sentence2": "the dog", "score": 4.5}], []),
    "tagging": ([{"tokens": ["the", "dog"], "tags": ["O", "B-X"]}], ["--labels", "O,B-X,I-X"]),
    "span_qa": ([{"question": "who runs ?", "context": "the dog runs",
                  "answers": {"text": ["the dog"], "answer_start": [0]}}], []),
    "multiple_choice": ([{"premise": "the dog", "question": "runs ?", "choices": ["yes", "no"], "label": 1}], []),
    "translation_ranking": ([
        {"source": f"the dog {name}", "target": f"der Hund {name}"} for name in "abcd"], []),
}


@pytest.mark.parametrize(("name", "content", "more"), [
    ("mine.tsv", "the\tO\ndog\tB-X\n\ncat\tO\n", ["--format", "conll_tab"]),
    ("mine.txt", "the O\ndog B-X\n\ncat O\n", ["--format", "conll_space"]),
    ("mine.conll", "the DT O\ndog NN B-X\n\ncat NN O\n", ["--format", "conll_space", "--columns", "words=0,tags=2"]),
    ("mine.conllu", "1\tthe\tthe\tO\t_\t_\t_\t_\t_\t_\n2\tdog\tdog\tB-X\t_\t_\t_\t_\t_\t_\n\n"
                    "1\tcat\tcat\tO\t_\t_\t_\t_\t_\t_\n", []),
])
def test_own_tags_word_by_word(
    tokenizer_folder: Path, tmp_path: Path, name: str, content: str, more: list[str]
) -> None:
    (tmp_path / name).write_text(content)
    more = [*more, "--kind", "tagging", "--labels", "O,B-X,I-X"]
    assert build("mine", tmp_path / name, tokenizer_folder, *more) == 0
    assert open_cell(tmp_path / "out/mine/train/de").dataset["labels"][:] == [[0, 1], [0]]


def test_own_questions_in_squads_form(tokenizer_folder: Path, tmp_path: Path) -> None:
    asked = [{"id": "k", "question": "who runs ?", "answers": [{"text": "the dog", "answer_start": 0}]}]
    (tmp_path / "mine.json").write_text(json.dumps(
        {"data": [{"paragraphs": [{"context": "the dog runs", "qas": asked}]}]}))
    assert build("mine", tmp_path / "mine.json", tokenizer_folder, "--kind", "span_qa", "--format", "squad") == 0
    cell = open_cell(tmp_path / "out/mine/train/de")
    assert (cell.dataset["key"][:], cell.dataset["answers"][:]) == (["k"], [["the dog"]])


@pytest.mark.parametrize("kind", OWN)
def test_own_data_of_every_kind(tokenizer_folder: Path, tmp_path: Path, kind: str) -> None:
    if kind not in KINDS:
        pytest.skip(f"there is no kind {kind}")
    rows, more = OWN[kind]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert build("mine", tmp_path / "mine.jsonl", tokenizer_folder, "--kind", kind, *more) == 0
    assert open_cell(tmp_path / "out/mine/train/de", verify="sha256").manifest.examples == len(rows)


def test_tags_as_numbers(tokenizer_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    rows = [{"tokens": ["the", "dog"], "ner_tags": tags} for tags in ([1, 0], [0, 0])]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert build("mine", file, tokenizer_folder, "--kind", "tagging", "--labels", "0=O,1=X") == 0
    cell = open_cell(tmp_path / "out/mine/train/de")
    assert (cell.dataset["labels"][:], cell.manifest.skipped) == ([[1, 0], [0, 0]], {})


@pytest.mark.parametrize(("name", "content", "more", "message"), [
    ("mine.tsv", "a\ta\t1\n", ["--columns", "first=0,second=1,score=3"], "3 columns in its first line"),
    ("mine.csv", "\n\n", [], "the file is empty"),
    ("mine.jsonl", "", [], "the file is empty"),
    ("mine.json", '{\n"data": []}\n', [], "--format squad"),
])
def test_files_that_hold_something_else(
    tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str,
    more: list[str], message: str,
) -> None:
    (tmp_path / name).write_text(content)
    assert build("mine", tmp_path / name, tokenizer_folder, "--kind", "regression", *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_archive_is_no_file(
    tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.writestr("mine.csv", "first,second,score\na,b,1\n")
    more = ["--kind", "regression"]
    assert build("mine", tmp_path / "mine.zip", tokenizer_folder, *more) == 2
    assert f"name the file in it: {tmp_path / 'mine.zip/mine.csv'}" in capsys.readouterr().err
    assert main(["build", "mine", "--source", str(tmp_path / "mine.zip/mine.csv"), "--languages", "de", "--splits",
                 "train", "--tokenizer", str(tokenizer_folder), "--out", str(tmp_path / "out"), *more]) == 0
