"""csv tables: quoting, line ends inside fields, headers, line numbers in messages. Oracle: Python's csv writer."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.base.errors import InputError
from data_prep.sources.batches import Content
from data_prep.sources.cells import read_cell
from data_prep.sources.csv import open_csv
from data_prep.sources.layouts import CellSource
from data_prep.tasks import TASKS
from data_prep.tasks.task import Layout
from tests.data_prep.pairs import rows_of

BARE = Layout("x", "x", format="csv")
NAMED = dataclasses.replace(BARE, header=True, columns={"first": ("premise",), "second": ("hypothesis",),
                                                        "label": ("label",)}, key=("pairID",))


def read(
    path: Path, content: bytes, layout: Layout = BARE, language: str = "en"
) -> tuple[list[tuple[int, str, str, int]], list[str], Counter[str], Content]:
    path.write_bytes(content)
    skipped, found = Counter[str](), Content()
    batches = list(read_cell(CellSource("dev", language, (path,), layout), TASKS["xnli"], skipped, found))
    return [row for one in batches for row in rows_of(one)], [k for one in batches for k in one.keys], skipped, found


def test_quotes_commas_tabs_and_line_ends_in_fields(tmp_path: Path) -> None:
    content = (b'\xef\xbb\xbf"a, ""b""","c\r\nd\te",neutral\r\n'  # CRLF, as stsb-multi-mt has it
               b'\r\n \r\nf \'g\',,entailment\n"",h,neutral\r\n"i\r j","k \xe2\x80\xa8\n \nl",e\r\nm,n\n\n\r\n')
    rows, _, skipped, found = read(tmp_path / "x.csv", content)
    assert rows == [(0, 'a, "b"', "c\nd\te", 2), (3, "f 'g'", "", 1), (4, "", "h", 2),
                    (5, "i\r j", "k \u2028\n \nl", 1)]
    assert skipped == {"blank line": 2, "wrong number of columns": 1}
    assert found.rows == 7, "blank lines at the end are no rows"
    assert found.sha256 == hashlib.sha256(content).hexdigest()


def test_header_and_keys(tmp_path: Path) -> None:
    content = b'pairID,"hypothesis",label,premise\n7,b,e,"a\na"\n9,d,n,c\n'
    rows, keys, *_ = read(tmp_path / "x.csv", content, NAMED)
    assert rows == [(0, "a\na", "b", 1), (1, "c", "d", 2)]
    assert keys == ["7", "9"]


def test_rows_of_one_language_are_numbered_by_themselves(tmp_path: Path) -> None:
    layout = dataclasses.replace(NAMED, language_column=("lang",), key=None)
    content = b'lang,premise,hypothesis,label\nde,a,b,e\nsw,"x\ny",z,n\nde,c,d,n\nsw,u,v,c\n'
    rows, *_ = read(tmp_path / "x.csv", content, layout, "sw")
    assert rows == [(0, "x\ny", "z", 2), (1, "u", "v", 0)]


@pytest.mark.parametrize(("content", "layout", "message"), [
    (b'a,b,e\n"c\nc",d,e\n"x\ny",z,maybe\n', BARE, "line 4: label 'maybe'"),
    (b'a,b,e\nc,d,e\n"x,z,e\nf,g,e\n', BARE, r"line 3: not a csv record \(unexpected end of data"),
    (b'a,b,e\n"x"y,z,e\n', BARE, r"line 2: not a csv record \('?,'? expected"),
    (b"a,b,e,f\n", BARE, "line 1: 4 columns, expected 2 or 3 .* with commas between"),
    (b"premise,hypothesis,label\na,b,e\n", BARE, "line 1: a header"),
    (b"a,b,e\n", NAMED, "line 1: expected a header"),
    (b"premise,label\na,e\n", NAMED, "line 1: no column hypothesis"),
    (b"", NAMED, "line 1: expected a header"),
    (b"a,\xff,e\n", BARE, "line 1: not UTF-8"),
])
def test_faults_name_file_and_line(tmp_path: Path, content: bytes, layout: Layout, message: str) -> None:
    with pytest.raises(InputError, match=rf"x\.csv, {message}"):
        read(tmp_path / "x.csv", content, layout)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff\n\r"), min_size=1)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1), st.sampled_from(["\r\n", "\n"]))
def test_what_pythons_writer_wrote_is_read(tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, ...]],
                                           end: str) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end).writerows(table)
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_bytes(text.getvalue().encode())
    assert [tuple(fields) for _, fields in open_csv(path, BARE, "dev")[1]] == table
