"""Cells whose manifest or shards were cut, flipped or made elsewhere, read by everything that reads cells."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import data_prep.__main__
from data_prep.base.errors import InputError
from data_prep.base.files import file_sha256
from data_prep.shards.manifest import MANIFEST_FILE
from data_prep.shards.read import find_cells, open_cell
from data_prep.shards.rows_hash import RowsHash
from data_prep.shards.tokenizers import tokenizer_dir
from tests.fuzz.budget import fuzzed
from tests.fuzz.damage import accepted, damaged_bytes, damaged_tree, run_command, scratch
from tests.random_cells import write_random_cell
from trainer.config.schema import DataSection
from trainer.data.loader import Examples, evaluation_batches, open_training_data
from trainer.evaluate.crossed import CrossedExamples
from trainer.kinds import Masking

CELL = "xnli/dev/en"
SHARD = "shard-00000.arrow"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a sound cell."""
    folder = write_random_cell(tmp_path_factory.mktemp("good"), CELL, 12)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


class Decoder:
    """Stands in for the cells' tokenizer, which would take longer to load than all the rest."""

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(chr, ids))


@pytest.fixture(autouse=True, scope="module")
def _tokenizer() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("data_prep.verify.load_tokenizer", lambda name: Decoder())
        yield


def put(root: Path, files: dict[str, bytes]) -> Path:
    folder = root / CELL
    folder.mkdir(parents=True)
    tokenizer_dir(root, "0" * 64).mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def resealed(files: dict[str, bytes]) -> dict[str, bytes]:
    """The same files with a manifest that vouches for the shard as it is: someone else's cell, not a cut one."""
    with scratch() as folder:
        (folder / SHARD).write_bytes(files[SHARD])
        manifest = json.loads(files[MANIFEST_FILE])
        manifest["shards"][0] |= {"bytes": len(files[SHARD]), "sha256": file_sha256(folder / SHARD)}
        content = RowsHash(manifest["columns"])
        with suppress(Exception):  # of what cannot be read, nobody can know the hash either
            table = pa.ipc.open_stream(folder / SHARD).read_all()
            table.validate(full=True)
            content.update(table)
        manifest["rows_sha256"] = content.hexdigest()
    return files | {MANIFEST_FILE: json.dumps(manifest).encode()}


def check(root: Path) -> bool:
    """Read the cell in every way; whether it was taken. What is taken gives batches that a model can take."""
    verified = run_command(data_prep.__main__.main, ["verify", str(root)]) == 0
    run_command(data_prep.__main__.main, ["peek", str(root / CELL), "--rows", "50"])
    data = accepted(lambda: open_training_data(DataSection(shards=str(root), train=[CELL], dev=["*/*/*"])))
    if data is None:
        assert not verified
        return False
    (cell,) = data.train
    manifest = cell.manifest
    masking = Masking(0.15, 0)
    examples = Examples([cell], data.max_length, masking=masking)
    batches = accepted(lambda: list(evaluation_batches(examples, 5)))
    for _, batch in batches or ():
        assert 0 <= int(batch.input_ids.min()) <= int(batch.input_ids.max()) < manifest.tokenizer.vocab_size
        assert batch.input_ids.shape[1] <= data.max_length
        assert masking or 0 <= int(batch.labels.min()) <= int(batch.labels.max()) < len(manifest.labels)
    accepted(lambda: list(evaluation_batches(CrossedExamples(cell, cell, data.max_length), 5)))
    assert not verified or batches
    return batches is not None


def test_a_sound_cell_is_taken(good: dict[str, bytes], tmp_path: Path) -> None:
    put(tmp_path, resealed(good))
    assert check(tmp_path)


@fuzzed(120)
@given(st.data())
def test_damaged_manifests(good: dict[str, bytes], data: st.DataObject) -> None:
    tree = json.loads(good[MANIFEST_FILE])
    manifest = data.draw(st.one_of(damaged_tree(tree).map(lambda t: json.dumps(t).encode()),
                                   damaged_bytes(good[MANIFEST_FILE]), st.binary(max_size=30)))
    with scratch() as root:
        put(root, good | {MANIFEST_FILE: manifest})
        check(root)


@fuzzed(150)
@given(st.data())
def test_damaged_shards_are_found_by_their_hash(good: dict[str, bytes], data: st.DataObject) -> None:
    shard = data.draw(damaged_bytes(good[SHARD]))
    with scratch() as root:
        folder = put(root, good | {SHARD: shard})
        whole = accepted(lambda: open_cell(folder, "sha256"))
        assert (whole is None) == (shard != good[SHARD])
        check(root)


@fuzzed(150)
@given(st.data())
def test_damaged_shards_that_their_manifest_vouches_for(good: dict[str, bytes], data: st.DataObject) -> None:
    """Worse than the disk can do: nothing but the content says that something is wrong, and it must not crash."""
    shard = data.draw(damaged_bytes(good[SHARD]))
    with scratch() as root:
        put(root, resealed(good | {SHARD: shard}))
        check(root)


def lists(rows: int, value: Any = 5) -> list[list[Any]]:
    return [[value] * (i % 4) for i in range(rows)]


COLUMNS: dict[str, Callable[[int], Any]] = {
    "id": np.arange, "key": lambda n: [str(i) for i in range(n)], "first_ids": lists, "second_ids": lists,
    "label": lambda n: np.arange(n) % 3, "length": lambda n: np.full(n, 8, dtype=np.int32)}
ODD: list[Callable[[int], Any]] = [
    lambda n: ["a"] * n, lambda n: [None] * n, lambda n: np.full(n, np.nan), lambda n: np.full(n, -1),
    lambda n: np.full(n, 2**62), lambda n: np.full(n, 3, dtype=np.int32), lambda n: lists(n, "word"), lists,
    lambda n: lists(n, 2**30), lambda n: lists(n, -1), lambda n: [None] * n, lambda n: lists(n, None),
    lambda n: [{"a": 1}] * n, lambda n: np.zeros(n, dtype=bool), lambda n: np.arange(n) % 2]
TYPES = {"id": pa.int64(), "key": pa.string(), "first_ids": pa.list_(pa.int32()), "second_ids": pa.list_(pa.int32()),
         "label": pa.int64(), "length": pa.int32()}


@fuzzed(120)
@given(rows=st.sampled_from([0, 1, 12, 13]), odd=st.dictionaries(st.sampled_from([*COLUMNS, "extra"]),
       st.sampled_from(range(len(ODD))), max_size=2), without=st.sampled_from([None, None, None, *COLUMNS]),
       typed=st.booleans(), form=st.sampled_from(["stream", "stream", "stream", "file", "parquet", "lz4"]))
@example(rows=12, odd={"first_ids": 8}, without=None, typed=True, form="stream")
@example(rows=12, odd={"first_ids": 11}, without=None, typed=True, form="stream")
def test_foreign_shards(good: dict[str, bytes], rows: int, odd: dict[str, int], without: str | None, typed: bool,
                        form: str) -> None:
    """Arrow files by other programs: other types, columns, formats and values."""
    columns = {}
    for name in [*COLUMNS, *([] if "extra" not in odd else ["extra"])]:
        values = (ODD[odd[name]] if name in odd else COLUMNS[name])(rows)
        try:
            columns[name] = pa.array(values, type=TYPES.get(name) if typed else None)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            columns[name] = pa.array(values)
    table = pa.table({name: column for name, column in columns.items() if name != without})
    with scratch() as root:
        (root / "made").mkdir()
        file = root / "made" / "file"
        if form == "parquet":
            pq.write_table(table, file)
        else:
            options = pa.ipc.IpcWriteOptions(compression="lz4" if form == "lz4" else None)
            make = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
            with make(str(file), table.schema, options=options) as writer:
                writer.write_table(table, max_chunksize=5)
        put(root / "cells", resealed(good | {SHARD: file.read_bytes()}))
        taken = check(root / "cells")
        sound = not odd and not without and typed and rows == 12 and form in ("stream", "lz4")
        assert taken or not sound


@pytest.mark.parametrize("bounds", [(0, 1, 10**8), (0, -5, 3), (0, 3, 1), (-(10**6), 1, 3)])
def test_lists_whose_bounds_lie(good: dict[str, bytes], tmp_path: Path, bounds: tuple[int, int, int]) -> None:
    """Read as they are, they would lead out of the file's memory."""
    columns = {name: COLUMNS[name](2) for name in COLUMNS} | {"first_ids": [[5], [6, 7]], "second_ids": [[5], [6, 7]]}
    with pa.ipc.new_stream(str(tmp_path / "file"), pa.schema(TYPES)) as writer:
        writer.write_table(pa.table(columns, schema=pa.schema(TYPES)))
    shard = (tmp_path / "file").read_bytes()
    assert struct.pack("<3i", 0, 1, 3) in shard
    manifest = json.loads(good[MANIFEST_FILE])
    manifest["shards"][0]["rows"] = manifest["rows"] = 2
    manifest["label_counts"] = {name: int(i < 2) for i, name in enumerate(manifest["labels"])}
    files = {MANIFEST_FILE: json.dumps(manifest).encode(), SHARD: shard}
    open_cell(put(tmp_path / "sound", resealed(files)))
    files[SHARD] = shard.replace(struct.pack("<3i", 0, 1, 3), struct.pack("<3i", *bounds))
    folder = put(tmp_path / "cells", resealed(files))
    with pytest.raises(InputError, match="cannot be read as Arrow"):
        open_cell(folder)


@pytest.mark.parametrize("name", ["../en/shard-00000.arrow", "/etc/passwd", "..", ".", "a/b", "a\0b", "", "x" * 300,
                                  "\n"])
def test_names_of_shards_cannot_leave_the_cell(good: dict[str, bytes], tmp_path: Path, name: str) -> None:
    manifest = json.loads(good[MANIFEST_FILE])
    manifest["shards"][0]["file"] = name
    folder = put(tmp_path, good | {MANIFEST_FILE: json.dumps(manifest).encode()})
    assert accepted(lambda: open_cell(folder, "none")) is None


def test_links_cannot_lead_out_of_the_cell(good: dict[str, bytes], tmp_path: Path) -> None:
    folder = put(tmp_path / "cells", good)
    (folder / SHARD).rename(tmp_path / SHARD)
    (folder / SHARD).symlink_to(tmp_path / SHARD)
    assert accepted(lambda: open_cell(folder)) is None


@pytest.mark.parametrize("change", [{"language": "de"}, {"task": "../xnli"}, {"split": ".."}, {"language": "e/n"},
                                    {"tokenizer": {"fingerprint": "../../../etc"}}])
def test_names_in_a_manifest(good: dict[str, bytes], tmp_path: Path, change: dict[str, Any]) -> None:
    manifest = json.loads(good[MANIFEST_FILE])
    for key, value in change.items():
        manifest[key] = manifest[key] | value if isinstance(value, dict) else value
    folder = put(tmp_path, good | {MANIFEST_FILE: json.dumps(manifest).encode()})
    assert accepted(lambda: open_cell(folder)) is None


@pytest.mark.parametrize("name", ["/etc/xnli", "../xnli/dev/en", "xnli/../en", "xnli/dev/..", "xnli/dev/e\0n", "a/b",
                                  "",
                                  "xnli/dev/en/", "./xnli/dev", "xnli//en", "[/]/["])
def test_cells_of_a_recipe_lie_below_the_root(good: dict[str, bytes], tmp_path: Path, name: str) -> None:
    put(tmp_path, good)
    assert accepted(lambda: open_training_data(DataSection(shards=str(tmp_path), train=[name]))) is None
    assert find_cells(tmp_path) == [tmp_path / CELL]
