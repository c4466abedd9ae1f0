"""Files with every quirk of the real ones, read without losing or inventing a row."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_prep.errors import InputError
from data_prep.reading import BATCH_ROWS, TextBatch, read_cell
from data_prep.sources import find_sources
from data_prep.tasks import TASKS

Row = tuple[int, str, str, int]


def read(folder: Path, task: str, name: str, content: bytes) -> tuple[list[Row], Counter[str]]:
    """Rows and counts of one file, found by its name as a user's would be."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    (source,) = find_sources(TASKS[task], folder)
    skipped: Counter[str] = Counter()
    whole = TextBatch()
    for batch in read_cell(source, TASKS[task], skipped):
        assert len(batch) <= BATCH_ROWS
        for row in zip(batch.ids, batch.first, batch.second, batch.labels, strict=True):
            whole.add(*row)
    return list(zip(whole.ids, whole.first, whole.second, whole.labels, strict=True)), skipped


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
    assert skipped == {"blank line": 2, "wrong number of columns": 2, "empty label": 1}


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
    ("dev-en.tsv", b"a\tb\t\nc\td\tneutral\n", "line 2: a label 'neutral' in a file whose first row has none"),
    ("multinli.train.en.tsv", b"premise\tlabel\nx\tneutral\n", "no column hypo or hypothesis"),
])
def test_bad_files_are_named(tmp_path: Path, name: str, content: bytes, message: str | None) -> None:
    if message is None:
        assert len(read(tmp_path, "xnli", name, content)[0]) == 2
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
    assert found == expected
    assert not skipped
