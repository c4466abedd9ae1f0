"""Few shots and regions of data maps against brute force."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep.__main__ import main
from data_prep.shards.read import open_cell
from data_prep.shards.write import write_cell
from tests.random_cells import write_random_cell


def shots(root: Path, name: str, k: int, *more: str) -> list[str]:
    own = f"k{k}{''.join(more).strip('-').replace('=', '')}"
    assert main(["few_shot", name, "--k", str(k), "--shards", str(root), "--name", own, *more]) == 0
    task, _, language = name.split("/")
    return open_cell(root / f"{task}+{own}/train/{language}", "sha256").dataset["key"][:]


def test_shots_are_nested_and_the_same_in_every_language(tmp_path: Path) -> None:
    for language in ("en", "sw"):
        write_random_cell(tmp_path, f"xnli/dev/{language}", 300)
    found = {k: shots(tmp_path, "xnli/dev/sw", k) for k in (1, 2, 4, 8)}
    labels = dict(zip(*(open_cell(tmp_path / "xnli/dev/sw").dataset[name][:] for name in ("key", "label")),
                      strict=True))
    for k, keys in found.items():
        assert Counter(labels[key] for key in keys) == {0: k, 1: k, 2: k}
        assert set(found[1]) <= set(keys) <= set(found[8])
        assert shots(tmp_path, "xnli/dev/en", k) == keys
    assert shots(tmp_path, "xnli/dev/sw", 8, "--bucket=1") != found[8]
    assert shots(tmp_path, "xnli/dev/sw", 8, "--seed=1") != found[8]


def test_texts_of_test_cells_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_random_cell(tmp_path, "xnli/dev/sw", 60)
    dev = open_cell(tmp_path / "xnli/dev/sw")
    write_cell(tmp_path / "xnli/test/sw", dev.manifest.model_copy(update={"split": "test"}), [dev.table.slice(0, 15)])
    line = ["few_shot", "xnli/dev/sw", "--shards", str(tmp_path), "--rest"]

    def texts(path: str) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
        rows = open_cell(tmp_path / path).dataset
        return {(tuple(a), tuple(b)) for a, b in zip(rows["first_ids"], rows["second_ids"], strict=True)}

    leaked = len(texts("xnli/dev/sw") & texts("xnli/test/sw"))
    assert main([*line, "--k", "4"]) == 0
    cell = open_cell(tmp_path / "xnli+shots4b0/train/sw")
    assert leaked == 15
    assert leaked == cell.manifest.skipped.get("its text is in a test cell", 0)
    assert not texts("xnli+shots4b0/train/sw") & texts("xnli/test/sw")
    assert not texts("xnli+shots4b0-rest/dev/sw") & texts("xnli+shots4b0/train/sw")
    assert main(["verify", str(tmp_path / "xnli+shots4b0/train/sw")]) == 2  # its tokenizer is not there
    assert main([*line, "--k", "4"]) == 0
    capsys.readouterr()
    assert main([*line, "--k", "90"]) == 2
    assert "contradiction" in capsys.readouterr().err
    assert main(["few_shot", "xnli/test/sw", "--k", "1", "--shards", str(tmp_path)]) == 2


@pytest.mark.parametrize("kind", ["tagging", "span_qa", "regression", "multiple_choice"])
def test_other_kinds_by_example_with_all_windows(tmp_path: Path, kind: str) -> None:
    write_random_cell(tmp_path, "t/train/en", 60, kind=kind)
    keys = set(shots(tmp_path, "t/train/en", 8))
    whole, part = open_cell(tmp_path / "t/train/en"), open_cell(tmp_path / "t+k8/train/en")
    assert len(keys) == 8 == part.manifest.examples
    rows = [row for row in whole.dataset if row["key"] in keys]
    assert str(rows) == str(list(part.dataset))


def test_regions_against_numpy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_random_cell(tmp_path, "mnli/train/en", 200)
    draw = np.random.default_rng(0)
    confidence, variability = draw.integers(0, 20, 195) / 20, draw.integers(0, 20, 195) / 20  # with ties
    ids = draw.permutation(200)[:195]

    def write(rows: int) -> None:
        pq.write_table(pa.table({"cell": ["mnli/train/en"] * rows, "id": ids[:rows], "correctness": confidence[:rows],
                                 "confidence": confidence[:rows], "variability": variability[:rows]}),
                       tmp_path / "d.parquet")

    line = ["select", "mnli/train/en", "--dynamics", str(tmp_path / "d.parquet"), "--shards", str(tmp_path), "--region"]
    write(195)
    for region, values in (("easy", -confidence), ("hard", confidence), ("ambiguous", -variability)):
        assert main([*line, region]) == 0
        expected = sorted(sorted(range(195), key=lambda at, values=values: (values[at], ids[at]))[:64])
        cell = open_cell(tmp_path / f"mnli+{region}/train/en", "sha256")
        assert cell.dataset["id"][:] == sorted(ids[expected].tolist())
        assert cell.manifest.skipped == {"no training dynamics": 5, "not chosen": 131}
    assert main([*line, "random"]) == 0
    assert open_cell(tmp_path / "mnli+random/train/en").manifest.rows == 64
    assert main([*line, "odd"]) == 2
    write(180)
    capsys.readouterr()
    assert main([*line, "easy", "--name", "other"]) == 2
    assert "have none" in capsys.readouterr().err
    assert main([*line, "easy"]) == 2, "finished from other dynamics"
