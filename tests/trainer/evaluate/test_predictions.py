"""Prediction and outcome files: format, names, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_prep.errors import InputError
from trainer.evaluate.predictions import (
    outcomes_path,
    predictions_path,
    read_outcomes,
    read_predictions,
    write_outcomes,
    write_predictions,
)


def test_paths() -> None:
    assert predictions_path("xnli", "test", "de") == "predictions/xnli/test-de.tsv"
    assert predictions_path("xnli", "test", "en", "sw") == "predictions/xnli/test-en-sw.tsv"
    assert outcomes_path("pawsx", "dev", "zh") == "outcomes/pawsx/dev-zh.tsv"


@pytest.mark.parametrize("parts", [
    ("xnli", "test", "../../x", None), ("../x", "test", "de", None), ("xnli", "te/st", "de", None),
    ("xnli", "test", "de", ".."),
])
def test_names_stay_in_their_folder(parts: tuple[str, str, str, str | None]) -> None:
    with pytest.raises(InputError, match="letters, digits"):
        predictions_path(*parts)
    with pytest.raises(InputError, match="letters, digits"):
        outcomes_path(*parts)


def test_predictions_are_one_label_per_line(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "test-de.tsv"
    write_predictions(path, ["entailment", "neutral", "0"])
    assert path.read_bytes() == b"entailment\nneutral\n0\n"
    assert read_predictions(path) == ["entailment", "neutral", "0"]
    write_predictions(path, [])
    assert read_predictions(path) == []
    assert [p.name for p in path.parent.iterdir()] == ["test-de.tsv"]


@pytest.mark.parametrize("label", ["", "a\nb", "a\tb", "a\r"])
def test_a_label_that_would_break_the_file(tmp_path: Path, label: str) -> None:
    with pytest.raises(InputError, match="line of its own"):
        write_predictions(tmp_path / "x.tsv", ["fine", label])
    assert not list(tmp_path.iterdir())


def test_cut_predictions(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("neutral\nentail")
    with pytest.raises(InputError, match="cut short"):
        read_predictions(tmp_path / "x.tsv")


def test_outcomes_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    write_outcomes(path, [0, 3, 17], [True, False, True])
    assert path.read_bytes() == b"0\t1\n3\t0\n17\t1\n"
    ids, right = read_outcomes(path)
    np.testing.assert_array_equal(ids, [0, 3, 17])
    np.testing.assert_array_equal(right, [True, False, True])
    assert right.dtype == np.bool_
    write_outcomes(path, [], [])
    assert read_outcomes(path)[0].size == 0


@pytest.mark.parametrize(("ids", "right"), [([1, 1], [0, 1]), ([2, 1], [0, 1]), ([1], [0, 1]), ([1], [2]), ([-1], [0])])
def test_outcomes_that_no_caller_should_write(tmp_path: Path, ids: list[int], right: list[int]) -> None:
    with pytest.raises(ValueError, match=r"id|outcomes"):
        write_outcomes(tmp_path / "x.tsv", ids, right)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("text", "line"), [
    ("0\t1\n1\t2\n", 2), ("0\t1\n0\t1\n", 2), ("0\t1\n1\t\n", 2), ("\t1\n", 1), ("0 1\n", 1), ("0\t1\n5\t1", 2),
    ("0\t1\t1\n", 1), ("id\tright\n", 1), ("0\t1\n\n2\t1\n", 2), ("0\t1\n1\n\t2\t0\n", 2), ("0\t-1\n", 1),
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
