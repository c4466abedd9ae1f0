"""Cells on disk: complete or absent, checked when opened; model inputs equal to the tokenizer's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep.base.errors import InputError
from data_prep.kinds import KINDS
from data_prep.shards.manifest import Manifest, TokenizerInfo
from data_prep.shards.read import find_cells, open_cell
from data_prep.shards.template import InputTemplate
from data_prep.shards.write import write_cell


def draft(**changes: Any) -> Manifest:
    tokenizer = TokenizerInfo(name="t", fingerprint="ab" * 32, vocab_size=50, cls_id=0, sep_id=2, pad_id=1,
                              mask_id=49, unk_id=3, template=InputTemplate(single="0 A 2", pair="0 A 2 2 B 2"))
    fields: dict[str, Any] = {
        "task": "xnli", "kind": "pair", "columns": dict(KINDS["pair"].columns),
        "labels": ["no", "yes"], "metric": "accuracy", "language": "en",
        "split": "dev", "max_length": 16, "tokenizer": tokenizer, "source": "by hand", "data_prep_version": "0"}
    return Manifest(**{**fields, **changes})


def batches(n: int, label: int = 1) -> Iterator[dict[str, Any]]:
    for i in range(n):
        yield {"id": [2 * i, 2 * i + 1], "first_ids": [[5, 6], []], "second_ids": [[7], [8, 9]],
               "label": [0, label], "length": [7, 6]}


def test_write_then_open(tmp_path: Path) -> None:
    path = tmp_path / "xnli" / "dev" / "en"
    written = write_cell(path, draft(), batches(5), closing=lambda: {"skipped": {"no consensus": 3}})
    cell = open_cell(path, verify="sha256")
    assert cell.manifest == written
    assert len(cell) == 10 == len(cell.dataset)
    assert cell.manifest.label_counts == {"no": 5, "yes": 5}
    assert cell.manifest.has_labels
    assert cell.manifest.tokens == 65
    assert cell.manifest.skipped == {"no consensus": 3}
    assert (cell.manifest.keys, cell.manifest.source_rows) == ("row", 10)
    assert cell.dataset[3] == {"id": 3, "key": "3", "first_ids": [], "second_ids": [8, 9], "label": 1, "length": 6}
    assert find_cells(tmp_path) == [path]
    assert find_cells(tmp_path, task="mnli") == []
    assert find_cells(tmp_path, task="xnli", split="dev") == [path]
    assert sorted(p.name for p in path.parent.iterdir()) == ["en"]


def test_size_cap_makes_several_shards(tmp_path: Path) -> None:
    path = tmp_path / "xnli" / "dev" / "en"
    written = write_cell(path, draft(), batches(6), max_shard_bytes=1)
    assert [shard.rows for shard in written.shards] == [2] * 6
    cell = open_cell(path)
    assert cell.dataset["id"][:] == list(range(12))
    assert cell.take(np.array([11, 0, 4, 3])).to_pylist() == [cell.dataset[row] for row in (11, 0, 4, 3)]


def test_rows_sha256_is_of_the_rows_alone(tmp_path: Path) -> None:
    """Batches, shards and the manifest leave no trace in it; every column of every row does."""
    def written(name: str, rows: Iterator[dict[str, Any]], **more: Any) -> str:
        return write_cell(tmp_path / name / "xnli" / "dev" / "en", draft(source=name), rows, **more).rows_sha256

    def flat(**changes: list[Any]) -> Iterator[dict[str, Any]]:
        whole = [dict(batch) for batch in batches(3)]
        yield {name: [value for batch in whole for value in batch[name]] for name in whole[0]} | changes

    plain = written("plain", batches(3))
    assert written("sharded", batches(3), max_shard_bytes=1) == plain
    assert written("in one batch", flat()) == plain
    ids, firsts = list(range(6)), [[5, 6], []] * 3
    changed = [flat(id=[0, 1, 2, 3, 4, 7]), flat(key=[f"k{i}" for i in ids]), flat(label=[0, 1, 0, 1, 0, 0]),
               flat(first_ids=[[5, 6], []] * 2 + [[5], [6]]), flat(second_ids=[[7], [8, 9]] * 2 + [[7, 8], [9]]),
               flat(first_ids=[*firsts[:-2], [6, 5], []]),
               flat(key=["a", "bc", "d", "e", "f", "g"]), flat(key=["ab", "c", "d", "e", "f", "g"])]
    assert len({plain, *(written(f"changed{i}", rows) for i, rows in enumerate(changed))}) == 1 + len(changed)


@pytest.mark.parametrize(("keys", "fields", "message"), [
    (["a", "b", "a"], {"keys": "publisher"}, "a key occurs twice"),
    (["a", "b", ""], {"keys": "publisher"}, "a key is empty"),
    (["a", "b\tc", "d"], {"keys": "publisher"}, "a tab or a line break"),
    (["a", "b", "c" * 201], {"keys": "publisher"}, "longer than 200 bytes"),
    (["0", "2", "1"], {}, "a key is not the row number"),
])
def test_keys_that_cannot_name_a_row(tmp_path: Path, keys: list[str], fields: dict[str, Any], message: str) -> None:
    path = tmp_path / "xnli" / "dev" / "en"
    write_cell(path, draft(**fields), [{
        "id": [0, 1, 2], "key": keys, "first_ids": [[5]] * 3, "second_ids": [[6]] * 3, "label": [0] * 3,
        "length": [6] * 3}])
    with pytest.raises(InputError, match=message):
        open_cell(path)


def test_source_rows_bound_the_ids(tmp_path: Path) -> None:
    path = tmp_path / "xnli" / "dev" / "en"
    assert write_cell(path, draft(source_rows=30), batches(5)).source_rows == 30
    content = json.loads((path / "manifest.json").read_text())
    for rows, message in ((9, "10 rows from 9 source_rows"), (10, None)):
        (path / "manifest.json").write_text(json.dumps(content | {"source_rows": rows}))
        if message is None:
            assert len(open_cell(path)) == 10
        else:
            with pytest.raises(InputError, match=message):
                open_cell(path)


def test_a_cell_of_the_first_format_is_to_be_built_again(tmp_path: Path) -> None:
    path = tmp_path / "xnli" / "dev" / "en"
    write_cell(path, draft(), batches(1))
    content = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(content | {"format_version": 1}))
    with pytest.raises(InputError, match="format version 1, this code reads 3; build the cell again, with --overwrite"):
        open_cell(path)


def test_no_label_anywhere(tmp_path: Path) -> None:
    written = write_cell(tmp_path / "xnli" / "dev" / "en", draft(
        labels=[], kind="mlm", columns=dict(KINDS["mlm"].columns), metric="perplexity"), batches(1))
    assert "label" not in open_cell(tmp_path / "xnli" / "dev" / "en").dataset.column_names
    assert not written.has_labels
    assert written.label_counts == {}


def test_failing_rows_leave_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield from batches(2)
        raise InputError("line 5")

    path = tmp_path / "xnli" / "dev" / "en"
    with pytest.raises(InputError, match="line 5"):
        write_cell(path, draft(), broken())
    with pytest.raises(InputError, match="no rows"):
        write_cell(path, draft(), [])
    assert list(tmp_path.iterdir()) == [], "not even the folders that were made for it"


def test_finished_cell_is_not_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "xnli" / "dev" / "en"
    write_cell(path, draft(), batches(1))
    with pytest.raises(InputError, match="finished cell"):
        write_cell(path, draft(), batches(2))
    assert len(open_cell(path)) == 2
    write_cell(path, draft(), batches(2), overwrite=True)
    assert len(open_cell(path)) == 4
    assert [p.name for p in path.parent.iterdir()] == ["en"]


@pytest.mark.parametrize("damage", ["no manifest", "json", "version", "key", "cut", "gone", "flip", "rows"])
def test_damage_is_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "xnli" / "dev" / "en"
    write_cell(path, draft(), batches(3))
    manifest, shard = path / "manifest.json", path / "shard-00000.arrow"
    content, data = json.loads(manifest.read_text()), bytearray(shard.read_bytes())
    if damage == "no manifest":
        manifest.unlink()
    elif damage == "json":
        manifest.write_text("{")
    elif damage in ("version", "key", "rows"):
        content[{"version": "format_version", "key": "spurious", "rows": "rows"}[damage]] = 99
        manifest.write_text(json.dumps(content))
    elif damage == "cut":
        shard.write_bytes(data[:-8])
    elif damage == "gone":
        shard.unlink()
    elif damage == "flip":
        data[len(data) // 2] ^= 1
        shard.write_bytes(data)
    with pytest.raises(InputError) as caught:
        open_cell(path, verify="sha256")
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
