"""Outcome files: format, names, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_prep.base.errors import InputError
from trainer.results.outcomes import outcomes_path, read_outcomes, write_outcomes


def test_paths() -> None:
    assert outcomes_path("pawsx", "dev", "zh") == "outcomes/pawsx/dev-zh.tsv"
    assert outcomes_path("xnli", "test", "en", "sw") == "outcomes/xnli/test-en-sw.tsv"
    assert outcomes_path("xnli", "test", "en", metric="f1") == "outcomes/xnli/test-en.f1.tsv"


@pytest.mark.parametrize("parts", [
    ("xnli", "test", "../../x", None), ("../x", "test", "de", None), ("xnli", "te/st", "de", None),
    ("xnli", "test", "de", ".."), ("xnli", "test", "de", None, "a/b"),
])
def test_names_stay_in_their_folder(parts: tuple[str, str, str, str | None]) -> None:
    with pytest.raises(InputError, match="letters, digits"):
        outcomes_path(*parts)


def test_outcomes_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    write_outcomes(path, [0, 3, 17], [True, False, True])
    assert path.read_bytes() == b"0\t1\n3\t0\n17\t1\n"
    keys, counts, _ = read_outcomes(path)
    assert keys.tolist() == ["0", "3", "17"]
    assert counts.tolist() == [[1], [0], [1]]
    assert counts.dtype == np.float64
    write_outcomes(path, ["b-2", "a 1", "ü"], [0, 1, 1])
    assert read_outcomes(path)[0].tolist() == ["b-2", "a 1", "ü"], "in the order of the file"
    assert read_outcomes(path)[1].tolist() == [[0], [1], [1]]
    write_outcomes(path, ["a", "b", "c"], [0, 1, 1], ["a", "a", "c"])
    assert path.read_bytes() == b"a\t0\nb\t1\ta\nc\t1\n"
    assert read_outcomes(path).groups.tolist() == ["a", "a", "c"]
    write_outcomes(path, [], [])
    assert read_outcomes(path)[0].size == 0


def test_several_counts_survive_the_file(tmp_path: Path) -> None:
    path, counts = tmp_path / "x.tsv", np.array([[0.1 + 0.2, 3], [1e-20, 12345678], [0, 1 / 3]])
    write_outcomes(path, ["a", "b", "c"], counts, ["a", "a", "c"], largest=np.inf)
    assert path.read_text() == "a\t0.30000000000000004 3\nb\t1e-20 12345678\ta\nc\t0 0.3333333333333333\n"
    assert read_outcomes(path, largest=np.inf).counts.tolist() == counts.tolist()
    with pytest.raises(InputError, match=":1: expected 'key<TAB>1 or 0'"):
        read_outcomes(path)
    with pytest.raises(ValueError, match="from 0 to 1"):
        write_outcomes(path, ["a", "b", "c"], counts)


@pytest.mark.parametrize(("text", "line"), [
    ("a\t1 2\nb\t1\n", 2), ("a\t1 \n", 1), ("a\t1  2\n", 1), ("a\tnan\n", 1), ("a\tinf\n", 1), ("a\t-1\n", 1),
    ("a\t1e9\n", 1), ("a\t1_0\n", 1), ("a\t" + "9" * 31 + "\n", 1), ("a\t7 1\n", 1)])
def test_counts_that_are_none(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "x.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=f":{line}: expected 'key<TAB>counts separated by spaces'"):
        read_outcomes(path, largest=6.0)


@pytest.mark.parametrize(("keys", "right"), [
    ([1, 1], [0, 1]), (["1"], [0, 1]), (["1"], [2]), ([""], [0]), (["a\tb"], [0]), (["a\nb"], [0]),
    (["a" * 1001], [0])])
def test_outcomes_that_no_caller_should_write(tmp_path: Path, keys: list[str], right: list[int]) -> None:
    with pytest.raises(ValueError, match=r"key|outcomes"):
        write_outcomes(tmp_path / "x.tsv", keys, right)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("text", "line"), [
    ("0\t1\n1\t2\n", 2), ("0\t1\n0\t1\n", 2), ("0\t1\n1\t\n", 2), ("\t1\n", 1), ("0 1\n", 1), ("0\t1\n5\t1", 2),
    ("0\t1\t1\t1\n", 1), ("0\t1\t\n", 1), ("id\tright\n", 1), ("0\t1\n\n2\t1\n", 2),
    ("0\t1\n1\n\t2\t0\n", 2), ("0\t-1\n", 1),
    ("b\t1\na\t1\nb\t0\n", 3), ("a" * 1001 + "\t1\n", 1), ("a\r\t1\n", 1),
])
def test_damaged_outcomes_are_named_by_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "x.tsv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_outcomes(path)
    assert f"{path}:{line}:" in str(caught.value)


def test_missing_outcomes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="evaluate the run again"):
        read_outcomes(tmp_path / "none.tsv")
