"""Prediction and certificate files: format, names, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_prep.base.errors import InputError
from trainer.results.predictions import (
    Certificates,
    certified_path,
    line_per_row,
    predictions_path,
    read_certificates,
    read_predictions,
    write_certificates,
    write_predictions,
)


def test_paths() -> None:
    assert predictions_path("xnli", "test", "de") == "predictions/xnli/test-de.tsv"
    assert predictions_path("xnli", "test", "en", "sw") == "predictions/xnli/test-en-sw.tsv"
    assert certified_path("xnli", "test", "de", "layer:2", 0.25) == "certified/layer2-0.25/xnli/test-de.tsv"


@pytest.mark.parametrize("parts", [
    ("xnli", "test", "../../x", None), ("../x", "test", "de", None), ("xnli", "te/st", "de", None),
    ("xnli", "test", "de", ".."),
])
def test_names_stay_in_their_folder(parts: tuple[str, str, str, str | None]) -> None:
    with pytest.raises(InputError, match="letters, digits"):
        predictions_path(*parts)


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


def test_a_line_for_every_row() -> None:
    assert line_per_row(np.array([1, 4]), ["yes", "no"], 6) == ["-", "yes", "-", "-", "no", "-"]


def certificates(ids: list[int], labels: list[str], correct: list[int], radii: list[float]) -> Certificates:
    return Certificates(np.array(ids, dtype=np.int64), labels, np.array(correct), np.array(radii))


def test_certificates_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    write_certificates(path, certificates([0, 3, 4, 9], ["neutral", "abstain", "yes", "yes"], [1, 0, 0, -1],
                                          [1 / 3, 0.0, 2.0, 1e-9]))
    assert path.read_bytes() == (b"0\tneutral\t1\t0.3333333333333333\n3\tabstain\t0\t0.0\n"
                                 b"4\tyes\t0\t2.0\n9\tyes\t-\t1e-09\n")
    found = read_certificates(path)
    assert found.ids.tolist() == [0, 3, 4, 9]
    assert found.labels == ["neutral", "abstain", "yes", "yes"]
    assert found.correct.tolist() == [1, 0, 0, -1]
    assert found.radii.tolist() == [1 / 3, 0.0, 2.0, 1e-9]
    assert found.reach.tolist() == [1 / 3, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("found", [
    certificates([1, 0], ["a", "a"], [1, 1], [0.0, 0.0]), certificates([0], ["a"], [1], [-0.1]),
    certificates([0], ["a"], [1], [float("nan")]), certificates([0], ["a", "b"], [1], [0.1]),
])
def test_certificates_that_no_caller_should_write(tmp_path: Path, found: Certificates) -> None:
    with pytest.raises(ValueError, match=r"ids|columns|radii"):
        write_certificates(tmp_path / "x.tsv", found)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("text", "line"), [
    ("0\ta\t1\t0.5\n0\ta\t1\t0.5\n", 2), ("0\ta\t2\t0.5\n", 1), ("0\ta\t1\t-1\n", 1), ("0\ta\t1\tnan\n", 1),
    ("0\ta\t1\tinf\n", 1), ("0\ta\t1\n", 1), ("0\ta\t1\t0.5\n\n", 2), ("x\ta\t1\t0.5\n", 1),
])
def test_damaged_certificates_are_named_by_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "x.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match="evaluate the run again") as caught:
        read_certificates(path)
    assert f"{path}:{line}:" in str(caught.value)


def test_certificates_cut_short(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("0\ta\t1\t0.5\n1\ta\t1\t0.")
    with pytest.raises(InputError, match="cut short"):
        read_certificates(tmp_path / "x.tsv")
