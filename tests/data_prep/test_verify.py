"""`verify` finds any damage and looks at every cell; `peek` shows what was read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from data_prep.__main__ import main
from data_prep.shards.manifest import read_manifest
from data_prep.shards.read import open_cell
from tests.data_prep.conftest import sentences


@pytest.fixture
def built(tokenizer_folder: Path, tmp_path: Path) -> Path:
    (tmp_path / "s").mkdir()
    for name in ("dev-en", "dev-de"):
        rows = zip(sentences(50), sentences(50, 1), strict=True)
        lines = [f"{a} [x]\t{b}\t{i % 2}\n" for i, (a, b) in enumerate(rows)]
        (tmp_path / "s" / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    (tmp_path / "s" / "test-en.tsv").write_text("the dog\ta cat\n" * 5)
    assert main(["build", "pawsx", "--source", str(tmp_path / "s"), "--tokenizer", str(tokenizer_folder), "--out",
                 str(tmp_path / "out")]) == 0
    return tmp_path / "out"


def test_whole_cells(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["verify", str(built)]) == 0
    printed = capsys.readouterr().out
    assert "3 of 3 cells are whole" in printed
    assert "no label" in printed
    assert "length" in printed
    assert main(["verify", str(built / "pawsx" / "dev" / "en")]) == 0
    assert main(["verify", str(built / "pawsx")]) == 0
    assert "1 of 1 cells are whole" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["flip", "cut", "manifest", "tokenizer", "label counts", "rows_sha256"])
def test_any_damage_ends_with_2(built: Path, capsys: pytest.CaptureFixture[str], damage: str) -> None:
    cell = built / "pawsx" / "dev" / "de"
    shard, manifest = cell / "shard-00000.arrow", cell / "manifest.json"
    data = bytearray(shard.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 4
        shard.write_bytes(data)
    elif damage == "cut":
        shard.write_bytes(data[: len(data) // 2])
    elif damage == "tokenizer":
        shutil.rmtree(built / "tokenizers")
    else:
        digest = f'"rows_sha256": "{read_manifest(cell).rows_sha256[:8]}'
        old = {"manifest": '"rows": 50', "label counts": '"0": 25', "rows_sha256": digest}[damage]
        assert old in manifest.read_text()
        manifest.write_text(manifest.read_text().replace(old, old[:-1] + ("9" if old[-1] != "9" else "8")))
    capsys.readouterr()
    assert main(["verify", str(built)]) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    bad = 3 if damage == "tokenizer" else 1
    assert out.count("BAD") == bad
    assert f"{3 - bad} of 3 cells are whole" in out, "the others are looked at all the same"


def test_nothing_to_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "absent")]) == 2
    assert main(["verify", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_peek(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["peek", str(built / "pawsx/dev/en"), "--rows", "2"]) == 0
    printed = capsys.readouterr().out
    row = open_cell(built / "pawsx/dev/en").dataset[1]
    assert " ".join(map(str, row["first_ids"])) in printed
    assert " ".join(sentences(2)[1].split()).removesuffix(".") in printed
    assert main(["peek", str(built / "pawsx/test/en")]) == 0
    assert "no label" in capsys.readouterr().out
    assert main(["peek", str(built / "pawsx/test/xx")]) == 2
    assert main(["peek", str(built / "pawsx/test/en"), "--rows", "0"]) == 2
