"""Cells on disk: complete or absent, checked when opened; model inputs equal to the tokenizer's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data_prep import shards
from data_prep.errors import InputError


def draft(**changes: Any) -> shards.Manifest:
    tokenizer = shards.TokenizerInfo(name="t", fingerprint="ab" * 32, vocab_size=50, cls_id=0, sep_id=2, pad_id=1,
                                     mask_id=49, unk_id=3)
    fields: dict[str, Any] = {
        "task": "xnli", "kind": "pair", "labels": ["no", "yes"], "metric": "accuracy", "language": "en",
        "split": "dev", "max_length": 16, "tokenizer": tokenizer, "source": "by hand", "data_prep_version": "0"}
    return shards.Manifest(**{**fields, **changes})


def batches(n: int, label: int = 1) -> Iterator[dict[str, Any]]:
    for i in range(n):
        yield {"id": [2 * i, 2 * i + 1], "first_ids": [[5, 6], []], "second_ids": [[7], [8, 9]],
               "label": [0, label], "length": [7, 6]}


def test_write_then_open(tmp_path: Path) -> None:
    path = tmp_path / "xnli" / "dev" / "en"
    written = shards.write_cell(path, draft(), batches(5), closing=lambda: {"skipped": {"no consensus": 3}})
    cell = shards.open_cell(path, verify="sha256")
    assert cell.manifest == written
    assert len(cell) == 10 == len(cell.dataset)
    assert cell.manifest.label_counts == {"no": 5, "yes": 5}
    assert cell.manifest.has_labels
    assert cell.manifest.tokens == 65
    assert cell.manifest.skipped == {"no consensus": 3}
    assert cell.dataset[3] == {"id": 3, "first_ids": [], "second_ids": [8, 9], "label": 1, "length": 6}
    assert shards.find_cells(tmp_path) == [path]
    assert shards.find_cells(tmp_path, task="mnli") == []
    assert shards.find_cells(tmp_path, task="xnli", split="dev") == [path]
    assert sorted(p.name for p in path.parent.iterdir()) == ["en"]


def test_size_cap_makes_several_shards(tmp_path: Path) -> None:
    path = tmp_path / "xnli" / "dev" / "en"
    written = shards.write_cell(path, draft(), batches(6), max_shard_bytes=1)
    assert [shard.rows for shard in written.shards] == [2] * 6
    assert shards.open_cell(path).dataset["id"][:] == list(range(12))


def test_no_label_anywhere(tmp_path: Path) -> None:
    written = shards.write_cell(tmp_path / "a" / "b" / "en", draft(labels=[], kind="mlm", metric="perplexity"), (
        {**batch, "label": [-1, -1]} for batch in batches(1)))
    assert not written.has_labels
    assert written.label_counts == {}


def test_failing_rows_leave_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield from batches(2)
        raise InputError("line 5")

    path = tmp_path / "xnli" / "dev" / "en"
    with pytest.raises(InputError, match="line 5"):
        shards.write_cell(path, draft(), broken())
    with pytest.raises(InputError, match="no rows"):
        shards.write_cell(path, draft(), [])
    assert list(tmp_path.iterdir()) == [], "not even the folders that were made for it"


def test_finished_cell_is_not_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "xnli" / "dev" / "en"
    shards.write_cell(path, draft(), batches(1))
    with pytest.raises(InputError, match="finished cell"):
        shards.write_cell(path, draft(), batches(2))
    assert len(shards.open_cell(path)) == 2
    shards.write_cell(path, draft(), batches(2), overwrite=True)
    assert len(shards.open_cell(path)) == 4
    assert [p.name for p in path.parent.iterdir()] == ["en"]


@pytest.mark.parametrize("damage", ["no manifest", "json", "version", "key", "cut", "gone", "flip", "rows"])
def test_damage_is_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "xnli" / "dev" / "en"
    shards.write_cell(path, draft(), batches(3))
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
        shards.open_cell(path, verify="sha256")
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
