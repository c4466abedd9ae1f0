"""The real Tatoeba files: every line is a row, and every translation is the match of its sentence.

Command: `python -m pytest tests/real -m real`. Skipped, with the reason, where the files are not beside the project.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.__main__ import main
from data_prep.shards.read import open_cell
from data_prep.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer
from tests.real.commands import DATA

TATOEBA = DATA / "tatoeba"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not TATOEBA.is_dir(), reason=f"the real benchmark files are not at {TATOEBA}"),
]
ROWS = {"cmn": 1000, "deu": 1000, "est": 1000, "fin": 1000, "swh": 390, "tam": 307, "tur": 1000}


def lines(language: str, part: str) -> list[str]:
    content = (TATOEBA / f"tatoeba.{language}-eng.{part}").read_bytes().decode()
    return [line.strip() for line in content.split("\n")[:-1]]


def test_every_line_is_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_tokenizer(train_tokenizer([line for language in ROWS for line in lines(language, language)], 8000),
                   tmp_path / "tokenizer")
    assert main(["build", "tatoeba", "--source", str(TATOEBA), "--tokenizer", str(tmp_path / "tokenizer"), "--out",
                 str(tmp_path / "shards"), "--max_length", "512"]) == 0
    assert "not read" not in capsys.readouterr().out
    tokenizer = load_tokenizer(str(tmp_path / "tokenizer"))
    for language, size in ROWS.items():
        cell = open_cell(tmp_path / "shards/tatoeba/test" / language, verify="sha256")
        own, english = lines(language, language), lines(language, "eng")
        assert len(own) == len(english) == size
        manifest = cell.manifest
        assert (manifest.rows, manifest.source_rows, manifest.skipped, manifest.truncated, manifest.has_labels) \
            == (2 * size, 2 * size, {}, 0, True)
        rows = cell.table.to_pylist()
        queries, candidates = rows[:size], rows[size:]
        assert {(row["side"], tuple(row["matches"])) for row in queries} == {(0, ("",))}
        assert [row["first_ids"] for row in queries] == tokenizer(own, add_special_tokens=False)["input_ids"]
        found = {row["matches"][0]: row["first_ids"] for row in candidates if row["side"] == 1}
        assert [found[str(row)] for row in range(size)] == tokenizer(english, add_special_tokens=False)["input_ids"]
        in_order = [english[int(row["matches"][0])] for row in candidates]
        assert in_order == sorted(english), "the order of XTREME's files"
