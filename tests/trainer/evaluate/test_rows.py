"""Result rows: what is accepted, what is refused with file and line, and the merge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from data_prep.errors import InputError
from trainer.evaluate.rows import RESULTS_FILE, ResultRow, checked_name, merge_rows, read_rows


def make(**fields: object) -> ResultRow:
    defaults: dict[str, object] = {
        "run": "plain-s1", "label": "plain", "method": "plain", "seed": 1, "task": "xnli", "kind": "pair",
        "metric": "accuracy", "split": "test", "language": "de", "language_2": "de", "value": 0.75, "n": 4, "step": 10,
        "predictions": "predictions/xnli/test-de.tsv", "outcomes": "outcomes/xnli/test-de.tsv",
    }
    return ResultRow.model_validate({**defaults, **fields})


def test_rows_survive_the_file(tmp_path: Path) -> None:
    rows = [make(language_info={"name": "German"}, train_languages=["en"]),
            make(language="en", language_2="sw", setting="generalized", excluded=3),
            make(split="dev", selection="oracle", n=0, outcomes=None, predictions=None),
            make(split="hidden", value=None, note="no label", outcomes=None),
            make(task="text", kind="mlm", metric="perplexity", value=12.5)]
    merge_rows(tmp_path / "eval" / RESULTS_FILE, rows)
    assert read_rows(tmp_path / "eval" / RESULTS_FILE) == rows


@pytest.mark.parametrize("fields", [
    {"surprise": 1},
    {"format_version": 2},
    {"value": 1.5},
    {"value": float("nan")},
    {"value": None},
    {"value": None, "note": "because"},
    {"value": 0.5, "note": "no label"},
    {"language": "../etc", "language_2": "../etc"},
    {"split": "a/b"},
    {"task": ""},
    {"outcomes": "/etc/passwd"},
    {"outcomes": "outcomes/../../x.tsv"},
    {"outcomes": "..\\x"},
    {"language_2": "en"},
    {"setting": "other"},
    {"selection": "worst"},
    {"n": -1},
])
def test_refused_rows(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        make(**fields)


@pytest.mark.parametrize(("line", "named"), [
    ("{", "not a result row"),
    ('{"run": "x"}', "label"),
    ("[]", "not a result row"),
])
def test_a_bad_line_is_named(tmp_path: Path, line: str, named: str) -> None:
    path = tmp_path / RESULTS_FILE
    path.write_text(json.dumps(make().model_dump()) + "\n" + line + "\n")
    with pytest.raises(InputError, match=named) as caught:
        read_rows(path)
    assert f"{path}:2:" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_rows_of_one_cell_are_refused(tmp_path: Path) -> None:
    path = tmp_path / RESULTS_FILE
    path.write_text(2 * (json.dumps(make().model_dump()) + "\n"))
    with pytest.raises(InputError, match="same cell as line 1"):
        read_rows(path)


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(tmp_path / "none.jsonl")


def test_merge_replaces_by_cell_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / RESULTS_FILE
    merge_rows(path, [make(language="de", language_2="de"), make(language="sw", language_2="sw", value=0.5)])
    merged = merge_rows(path, [make(language="sw", language_2="sw", value=0.6, step=20), make(split="dev")])
    assert [(row.language, row.split, row.value) for row in merged] == [
        ("de", "test", 0.75), ("sw", "test", 0.6), ("de", "dev", 0.75)]
    assert read_rows(path) == merged
    assert [p.name for p in tmp_path.iterdir()] == [RESULTS_FILE]


def test_merge_leaves_a_damaged_file_alone(tmp_path: Path) -> None:
    path = tmp_path / RESULTS_FILE
    path.write_text("not json\n")
    with pytest.raises(InputError):
        merge_rows(path, [make()])
    assert path.read_text() == "not json\n"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a b", "a\n", "é"])
def test_names_that_could_leave_a_folder(name: str) -> None:
    with pytest.raises(InputError):
        checked_name(name)


def test_names_of_languages() -> None:
    assert [checked_name(name) for name in ("en", "zh-Hant", "pt_BR", "d0+5")] == ["en", "zh-Hant", "pt_BR", "d0+5"]
