"""Cells of columns that no kind of ours has: written, counted, hashed, checked and read by their types alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pydantic
import pytest

from data_prep.base.errors import InputError
from data_prep.shards.columns import COLUMN_TYPES, cell_features, cell_schema
from data_prep.shards.manifest import Manifest
from data_prep.shards.read import open_cell
from data_prep.shards.write import write_cell
from tests.random_cells import TOKENIZER

COLUMNS = {"word_ids": "token_ids", "tags": "labels", "score": "number", "start": "integer", "spans": "integers",
           "text": "text", "right": "choice", "answers": "texts"}


def draft(**changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "task": "ner", "kind": "tagging", "columns": COLUMNS, "labels": ["O", "B"], "metric": "f1", "language": "en",
        "split": "dev", "max_length": 16, "tokenizer": TOKENIZER, "source": "by hand", "data_prep_version": "0"}
    return Manifest(**{**fields, **changes})


def rows(**changes: list[Any]) -> dict[str, list[Any]]:
    return {"id": [0, 1, 2], "word_ids": [[5], [6, 7], []], "tags": [[0], [1, 0], [1]], "score": [0.5, 1.0, -2.0],
            "start": [3, -4, 5], "spans": [[], [1, 9], [-1]], "text": ["a", "", "狗"], "right": [1, 0, 2],
            "answers": [["a"], ["", "b"], ["狗"]], "length": [3, 4, 2]} | changes


def test_columns_of_every_type(tmp_path: Path) -> None:
    assert set(COLUMNS.values()) | {"label"} == set(COLUMN_TYPES)
    written = write_cell(tmp_path / "ner/dev/en", draft(), [rows()])
    cell = open_cell(tmp_path / "ner/dev/en", "sha256")
    assert cell.manifest == written
    assert {name: cell.dataset[:][name] for name in rows()} == rows()
    assert (written.has_labels, written.label_counts) == (True, {"O": 2, "B": 2})


@pytest.mark.parametrize(("column", "values"), [
    ("tags", [[0], [], [1]]), ("score", [0.5, float("nan"), 1.0]), ("right", [1, -1, 0]),
    ("answers", [["a"], [], ["b"]])])
def test_a_missing_gold_answer(tmp_path: Path, column: str, values: list[Any]) -> None:
    assert not write_cell(tmp_path / "ner/dev/en", draft(), [rows(**{column: values})]).has_labels


def test_the_hash_is_of_every_column(tmp_path: Path) -> None:
    changes: list[dict[str, list[Any]]] = [
        {},
        {"tags": [[0], [1, 1], [1]]}, {"tags": [[0, 1], [0], [1]]}, {"score": [0.5, 1.0, 2.0]}, {"start": [3, 4, 5]},
        {"spans": [[1], [9], [-1]]}, {"text": ["", "a", "狗"]},
        {"word_ids": [[5, 6], [7], []]}, {"answers": [["a", ""], ["b"], ["狗"]]},
        {"answers": [["a"], ["b", ""], ["狗"]]}]
    hashes = {write_cell(tmp_path / f"{i}/ner/dev/en", draft(), [rows(**change)]).rows_sha256
              for i, change in enumerate(changes)}
    assert len(hashes) == len(changes)


def test_labels_outside_the_label_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"label index 0\.\.2 outside"):
        write_cell(tmp_path / "ner/dev/en", draft(), [rows(tags=[[0], [2, 1], [1]])])
    write_cell(tmp_path / "ner/dev/en", draft(), [rows()])
    file = tmp_path / "ner/dev/en/manifest.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"labels": ["O"], "label_counts": {"O": 2}}))
    with pytest.raises(InputError, match=r"tags 0\.\.1, expected 0\.\.0"):
        open_cell(tmp_path / "ner/dev/en")
    file.write_text(json.dumps(content | {"columns": {**COLUMNS, "start": "number"}}))
    with pytest.raises(InputError, match=r"3 rows of .*the manifest says 3 of"):
        open_cell(tmp_path / "ner/dev/en")


@pytest.mark.parametrize("changes", [
    {"columns": {"score": "float"}}, {"columns": {"id": "integer"}}, {"columns": {"a b": "integer"}},
    {"columns": {"score": "number"}}, {"labels": []}, {"label_aliases": {"x": "I"}}, {"max_length": 4}])
def test_manifests_that_contradict_themselves(changes: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        draft(**changes)


@pytest.mark.parametrize("kind", sorted(COLUMN_TYPES))
def test_the_arrow_schema_is_that_of_the_features(kind: str) -> None:
    columns = {"one": kind, "label": "label"}
    assert cell_schema(columns).equals(cell_features(columns).arrow_schema)
