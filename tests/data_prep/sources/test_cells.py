"""Files with every quirk of the real ones, read without losing or inventing a row."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_prep.base.errors import InputError
from data_prep.sources.batches import BATCH_ROWS, Content, without_placeholders
from data_prep.sources.cells import read_cell
from data_prep.sources.layouts import find_sources
from data_prep.tasks import TASKS
from tests.data_prep.pairs import pair_batch, rows_of

Row = tuple[int, str, str, int]


def read(folder: Path, task: str, name: str, content: bytes) -> tuple[list[Row], Counter[str]]:
    """Rows and counts of one file, found by its name as a user's would be."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    (source,) = find_sources(TASKS[task], folder)
    skipped: Counter[str] = Counter()
    rows: list[tuple[int, str, str, int]] = []
    for batch in read_cell(source, TASKS[task], skipped):
        assert len(batch) <= BATCH_ROWS
        rows += rows_of(batch)
    return rows, skipped


def test_quotes_are_text(tmp_path: Path) -> None:
    rows, _ = read(tmp_path, "xnli", "dev-en.tsv", b'"A\tB "quoted\tneutral\nC\'s\t"D\tentailment\n"\t"\tneutral\n')
    assert [row[1:3] for row in rows] == [('"A', 'B "quoted'), ("C's", '"D'), ('"', '"')]


@pytest.mark.parametrize("odd", ["\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\ufeff",
                                 "\u200b", "\u202e", "\xad", "\ue000", "\ufffd", "\x00", "e\u0301", "\r"])
def test_odd_characters_stay_inside_their_row(tmp_path: Path, odd: str) -> None:
    content = f"one {odd} two\tthree{odd}four\tneutral\n{odd}a\tb\tentailment\n"
    rows, skipped = read(tmp_path, "xnli", "dev-en.tsv", content.encode())
    assert len(rows) == 2
    assert not skipped
    assert rows[0][1:3] == (f"one {odd} two", f"three{odd}four")


def test_line_ends_marks_and_last_line(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbfa\tb\tneutral\r\nc\td\tentailment\n\xef\xbb\xbfe\tf\tcontradiction\r\ng\th\tneutral"
    rows, _ = read(tmp_path, "xnli", "dev-en.tsv", content)
    assert rows == [(0, "a", "b", 2), (1, "c", "d", 1), (2, "\ufeffe", "f", 0), (3, "g", "h", 2)]


def test_label_spellings_and_no_consensus(tmp_path: Path) -> None:
    labels = ["contradictory", "CONTRADICTION", "c", "E", "n", "-", " neutral ", "Entailment"]
    content = "".join(f"p\th{i}\t{label}\n" for i, label in enumerate(labels))
    rows, skipped = read(tmp_path, "xnli", "train-en.tsv", content.encode())
    assert [row[3] for row in rows] == [0, 0, 0, 1, 2, 2, 1]
    assert [row[0] for row in rows] == [0, 1, 2, 3, 4, 6, 7], "numbers are those of the source"
    assert skipped == {"no consensus": 1}


def test_two_columns_have_no_label(tmp_path: Path) -> None:
    rows, _ = read(tmp_path, "pawsx", "test-de.tsv", b"a\tb\nc\td\n")
    assert [row[3] for row in rows] == [-1, -1]


def test_rows_left_out_are_counted(tmp_path: Path) -> None:
    content = b"a\tb\t0\n\n \nc\td\ne\tf\t1\tg\nh\ti\t\n \tj\t1\n"
    rows, skipped = read(tmp_path, "pawsx", "train-en.tsv", content)
    assert rows == [(0, "a", "b", 0), (6, " ", "j", 1)]
    assert skipped == {"blank line": 2, "wrong number of columns": 2, "no label": 1}


@pytest.mark.parametrize(("task", "name", "row"), [
    ("pawsx", "dev-en.tsv", "a\tb\t1"), ("xnli", "multinli.train.sw.tsv", "p\th\tneutral"),
    ("text", "train-en.txt", "a"),
    ("snli", "snli_1.0_dev.jsonl", '{"sentence1": "a", "sentence2": "b", "gold_label": "neutral"}')])
@pytest.mark.parametrize(("end", "blanks"), [
    ("", 0), ("\n", 0), ("\n\n", 0), ("\n \r\n\n\u3000", 0), ("\n\n \n{row}\n\n", 2)])
def test_blank_lines_at_the_end_are_no_rows(
    tmp_path: Path, task: str, name: str, row: str, end: str, blanks: int
) -> None:
    header = "premise\thypo\tlabel\n" if name.startswith("multinli") else ""
    (tmp_path / name).write_bytes(f"{header}{row}\n{row}{end.replace('{row}', row)}".encode())
    (source,) = find_sources(TASKS[task], tmp_path)
    skipped: Counter[str] = Counter()
    content = Content()
    (batch,) = read_cell(source, TASKS[task], skipped, content)
    assert batch.ids == ([0, 1, 4] if blanks else [0, 1])
    assert content.rows == batch.ids[-1] + 1
    assert skipped == ({"blank line": blanks} if blanks else {})
    assert content.sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


def test_pairs_without_any_text_are_left_out_and_counted(tmp_path: Path) -> None:
    content = b"a\tb\t0\n\t\t1\n \t\xc2\xa0\t0\n\tc\t1\nd\t \t0\n"
    rows, skipped = read(tmp_path, "pawsx", "dev-en.tsv", content)
    assert rows == [(0, "a", "b", 0), (3, "", "c", 1), (4, "d", " ", 0)]
    assert skipped == {"both texts empty": 2}


def test_placeholders_are_counted_and_left_out_on_demand() -> None:
    batch = pair_batch([3, 4, 5, 8, 9], ["NS", "a", " NS ", "NSA", "d"], ["b", "c", "e", "ns", "NS "], [0, 1, 0, 1, 1])
    for drop, ids in ((False, [3, 4, 5, 8, 9]), (True, [4, 8])):
        skipped: Counter[str] = Counter()
        kept: Counter[str] = Counter()
        (left,) = without_placeholders([batch], TASKS["pawsx"], drop, skipped, kept)
        assert left.ids == ids
        assert (skipped, kept)[not drop] == {"placeholder text": 3}
        assert not (skipped, kept)[drop]
    assert list(without_placeholders([batch], TASKS["xnli"], True, Counter(), Counter())) == [batch]


def test_publishers_layouts(tmp_path: Path) -> None:
    sick = (b"pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\r\n"
            b"7\tA man\tNo man\t3,1\tNEUTRAL\r\n")
    assert read(tmp_path / "a", "sick", "SICK_trial.txt", sick)[0] == [(0, "A man", "No man", 2)]
    mrpc = b"\xef\xbb\xbfQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t5\t6\tHe said \"so.\tSo, \"he said.\r\n"
    assert read(tmp_path / "b", "mrpc", "msr-para-train.tsv", mrpc)[0] == [(0, 'He said "so.', 'So, "he said.', 1)]
    mnli = b"premise\thypo\tlabel\np\th\tcontradictory\n"
    assert read(tmp_path / "c", "mnli", "multinli.train.sw.tsv", mnli)[0] == [(0, "p", "h", 0)]
    assert read(tmp_path / "d", "xnli", "multinli.train.sw.tsv", mnli)[0] == [(0, "p", "h", 0)]
    glue = (b"index\tgenre\tsentence1\tsentence2\tlabel1\tgold_label\n"
            b"0\tg\tp\th\tneutral\t-\n1\tg\tp\th\te\tentailment\n")
    assert read(tmp_path / "e", "mnli", "dev_matched.tsv", glue)[0] == [(1, "p", "h", 1)]
    (tmp_path / "f" / "x-final" / "de").mkdir(parents=True)
    paws = b"id\tsentence1\tsentence2\tlabel\n1\tx\ty\t1\n"
    assert read(tmp_path / "f", "pawsx", "x-final/de/dev_2k.tsv", paws)[0] == [(0, "x", "y", 1)]


SNLI = "gold_label\tsentence1_parse\tsentence1\tsentence2\tpairID\tlabel1\n"


def test_snli_and_korean_nli(tmp_path: Path) -> None:
    snli = (SNLI + "-\t(X)\tA man\tHe sits\t4#1\tneutral\nentailment\t(X)\tA dog\tIt is\t4#2\t\n").encode()
    assert read(tmp_path / "a", "snli", "snli_1.0_train.txt", snli) == ([(1, "A dog", "It is", 1)], {"no consensus": 1})
    korean = "sentence1\tsentence2\tgold_label\n그는 잔다\t그는 남자다\tneutral\n".encode()
    for folder, (task, name) in enumerate((
        ("xnli", "multinli.train.ko.tsv"), ("mnli", "multinli.train.ko.tsv"), ("snli", "snli_1.0_train.ko.tsv"),
        ("xnli", "xnli.dev.ko.tsv"), ("xnli", "xnli.test.ko.tsv"),
    )):
        assert read(tmp_path / str(folder), task, name, korean) == ([(0, "그는 잔다", "그는 남자다", 2)], {}), name


def test_json_lines(tmp_path: Path) -> None:
    lines = ['{"sentence1": "A \\"dog\\"\\truns", "gold_label": "entailment", "sentence2": "It\\nis", "pairID": "1"}',
             "",
             '{"gold_label": "-", "sentence1": "a", "sentence2": "b"}',
             '{"gold_label": null, "sentence1": "a", "sentence2": "b"}',
             '{"gold_label": "neutral", "sentence1": "c", "sentence2": "d", "annotator_labels": ["neutral"]}']
    rows, skipped = read(tmp_path, "snli", "snli_1.0_dev.jsonl", "\n".join(lines).encode())
    assert rows == [(0, 'A "dog"\truns', "It\nis", 1), (4, "c", "d", 2)]
    assert skipped == {"blank line": 1, "no consensus": 1, "no label": 1}


XNLI = "language\tgold_label\tsentence1_parse\tsentence1\tsentence2\tpairID\n"


def read_languages(folder: Path, name: str, content: str) -> dict[str, list[tuple[int, str, str, int, str]]]:
    """Rows and keys by language of a file that has those of several."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content, encoding="utf-8")
    found: dict[str, list[tuple[int, str, str, int, str]]] = {}
    for source in find_sources(TASKS["xnli"], folder):
        found[source.language] = []
        for batch in read_cell(source, TASKS["xnli"], Counter()):
            found[source.language] += [(*row, key) for row, key in zip(rows_of(batch), batch.keys, strict=True)]
    return found


def test_one_file_of_several_languages_gives_a_cell_each(tmp_path: Path) -> None:
    """Rows are numbered by language, so that a number means one sentence in all of them, and as in XTREME's files."""
    rows = "sw\tneutral\t\tmoja\tmbili\t7\nsw\t-\t\tx\ty\t8\nsw\tentailment\t\ttatu\tnne\t9\n"
    rows += "en\tneutral\t\tone\ttwo\t7\n\nen\tentailment\t\tthree\tfour\t9\n"
    expected = {"en": [(0, "one", "two", 2, "7"), (2, "three", "four", 1, "9")],
                "sw": [(0, "moja", "mbili", 2, "7"), (2, "tatu", "nne", 1, "9")]}
    assert read_languages(tmp_path / "a", "xnli.test.tsv", XNLI + rows) == expected
    lines = [json.dumps(dict(zip(XNLI.removesuffix("\n").split("\t"), row.split("\t"), strict=True))) if row else ""
             for row in rows.removesuffix("\n").split("\n")]
    assert read_languages(tmp_path / "b", "xnli.test.jsonl", "\n".join(lines)) == expected


@pytest.mark.parametrize(("rows", "message"), [
    ("../x\tneutral\t\ta\tb\t1\n", "line 2: '../x' in the column language is not a language code"),
    ("en\tneutral\t\ta\tb\t1\n\tneutral\t\ta\tb\t2\n", "line 3: nothing in the column language"),
    ("", "no rows, expected rows of several languages"),
])
def test_rows_that_name_no_language(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_languages(tmp_path / "s", "xnli.dev.tsv", XNLI + rows)


@pytest.mark.parametrize("first", ["premise\thypothesis\tneutral", "Sentence\tThe end\t-", "label\tlabel\tneutral"])
def test_a_first_row_of_column_names_with_a_label_is_a_row(tmp_path: Path, first: str) -> None:
    rows, skipped = read(tmp_path, "xnli", "dev-en.tsv", f"{first}\na\tb\tneutral\n".encode())
    assert len(rows) + skipped.total() == 2


def test_unlabelled_text(tmp_path: Path) -> None:
    rows, skipped = read(tmp_path, "text", "train-d30.txt", b"one\n\ntwo\tzwei\nthree\t\n\tfour\na\tb\tc\n  five\r\n")
    assert rows == [(0, "one", "", -1), (2, "two", "zwei", -1), (3, "three", "", -1), (4, "four", "", -1),
                    (6, "  five", "", -1)]
    assert skipped == {"blank line": 1, "more than two texts": 1}


def test_a_folder_of_text_files_is_one_cell(tmp_path: Path) -> None:
    (tmp_path / "train-sw").mkdir()
    (tmp_path / "train-sw" / "a.txt").write_bytes(b"one\ntwo")
    rows, _ = read(tmp_path, "text", "train-sw/b.txt", b"three\n")
    assert [row[:2] for row in rows] == [(0, "one"), (1, "two"), (2, "three")]


@pytest.mark.parametrize(("name", "content", "message"), [
    ("dev-en.tsv", b"a\tb\tneutral\nc\td\tmaybe\n", "line 2: label 'maybe' is not one of"),
    ("dev-en.tsv", b"a\tb\tneutral\nc\t\xff\tneutral\n", "line 2: not UTF-8"),
    ("dev-en.tsv", b"one column only\n", "line 1: 1 columns, expected 2 or 3"),
    ("dev-en.tsv", b"a\tb\nc\td\n", None),
    ("dev-en.tsv", b"a\tb\t\nc\td\tneutral\n", "line 2: label 'neutral', but the first row has none"),
    ("dev-en.tsv", b"a\tb\t1\n", r"label '1' is not one of .* \(xnli\), but of pawsx, mrpc"),
    ("dev-en.tsv", b"\xef\xbb\xbfpremise\thypothesis\tlabel\na\tb\tneutral\n",
     r"line 1: a header \(premise, hypothesis, label\) in a file that should have none"),
    ("test-en.tsv", b"\nsentence1\tSentence2\r\na\tb\r\n", r"line 2: a header \(sentence1, Sentence2\)"),
    ("test-en.tsv", b"id\tsentence1\tsentence2\n1\ta\tb\n", r"line 1: a header \(id, sentence1, sentence2\)"),
    ("test-en.tsv", b"language\tpremise\thypothesis\tlabel\nen\ta\tb\tneutral\n", "line 1: a header"),
    ("multinli.train.en.tsv", b"A man\tsleeps\tneutral\n",
     "line 1: expected a header with the columns premise or sentence1, "
     "hypo or hypothesis or sentence2, gold_label or label; found 'A man, sleeps, neutral'"),
    ("multinli.train.en.tsv", b"premise\tlabel\nx\tneutral\n", "no column hypo or hypothesis"),
    ("multinli.train.en.tsv", b"premise\thypo\tlabel_1\nx\ty\tneutral\n", "no column gold_label or label"),
    ("xnli.test.ko.tsv", b"sentence1\tsentence2\tLabel\nx\ty\tneutral\n", "no column gold_label or label"),
    ("xnli.test.ko.tsv", b"sentence1\tsentence2\nx\ty\n", None),
    ("xnli.dev.tsv", b"gold_label\tsentence1\tsentence2\nneutral\tx\ty\n", "no column language"),
    ("xnli.dev.jsonl", b'{"language": "en", "gold_label": "neutral", "sentence1": "a"}', "line 1: no key hypo or"),
    ("xnli.dev.jsonl", b'{"language": "en", "sentence2": "b", "sentence1": "a"}', "line 1: no key gold_label or label"),
    ("xnli.test.jsonl", b'{"language": "en", "sentence2": "b", "sentence1": 1}', "line 1: sentence1 is not text"),
    ("xnli.test.jsonl", b'{"language": "en", "sentence2": "b", "sentence1": "\\ud800"}', "half of a surrogate pair"),
    ("xnli.dev.jsonl", b"[1]\n", "line 1: not a JSON object"),
    ("xnli.dev.jsonl", b"\n{\n", "line 2: not JSON "),
])
def test_bad_files_are_named(tmp_path: Path, name: str, content: bytes, message: str | None) -> None:
    if message is None:
        rows = content.count(b"\n") - name.startswith("xnli.")
        assert [row[0] for row in read(tmp_path, "xnli", name, content)[0]] == list(range(rows))
        return
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, "xnli", name, content)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


TEXTS = st.text(st.characters(exclude_characters="\t\n", exclude_categories=("Cs",)), max_size=30)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(TEXTS, TEXTS, st.sampled_from(["0", "1"])), min_size=1, max_size=30),
       end=st.sampled_from(["\n", "\r\n"]), mark=st.booleans(), last=st.booleans())
def test_any_text_comes_back(
    tmp_path: Path, rows: list[tuple[str, str, str]], end: str, mark: bool, last: bool
) -> None:
    content = end.join("\t".join(row) for row in rows) + (end if last else "")
    data = (b"\xef\xbb\xbf" if mark else b"") + content.encode()
    found, skipped = read(tmp_path, "pawsx", "dev-en.tsv", data)
    expected = [(i, a, b, int(label)) for i, (a, b, label) in enumerate(rows)]
    if not mark and rows[0][0].startswith("\ufeff"):  # cannot be told from a mark
        expected[0] = (0, rows[0][0][1:], *expected[0][2:])
    without = [row for row in expected if not row[1].strip() and not row[2].strip()]
    assert found == [row for row in expected if row not in without]
    assert skipped == ({"both texts empty": len(without)} if without else {})
