"""XCOPA on real files: train on English COPA, predict in every language; every row is accounted for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from data_prep.shards.read import find_cells, open_cell
from tests.real.commands import DATA, run

XCOPA = DATA / "xcopa"
LANGUAGES = ("en", "et", "ht", "id", "it", "qu", "sw", "ta", "th", "tr", "vi", "zh")

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not XCOPA.is_dir(), reason=f"real benchmark files are not at {XCOPA}"),
]


def test_english_copa_to_every_language(tmp_path: Path) -> None:
    prepare, train = (sys.executable, "-m", "data_prep"), (sys.executable, "-m", "trainer")
    tokenizer, shards = str(tmp_path / "tokenizer"), str(tmp_path / "shards")
    run(tmp_path, *prepare, "tokenizer", "--texts", str(DATA / "xnli"), "--vocab_size", "4000", "--out", tokenizer)
    common = ("--tokenizer", tokenizer, "--out", shards, "--max_length", "128", "--workers", "1")
    run(tmp_path, *prepare, "build", "xcopa", "--source", str(XCOPA), *common)
    run(tmp_path, *prepare, "build", "xcopa", "--source", str(XCOPA / "xtreme"), "--languages", "en", "--splits",
        "train,dev", *common)
    cells = {(cell.manifest.split, cell.manifest.language): cell.manifest
             for cell in map(open_cell, find_cells(Path(shards)))}
    assert {language for split, language in cells if split == "test"} == set(LANGUAGES)
    for (split, language), manifest in cells.items():
        assert manifest.source_rows == {"train": 400, "dev": 100, "test": 500}[split], (split, language)
        assert manifest.rows == manifest.source_rows
        assert (manifest.skipped, manifest.keys, manifest.has_labels) == ({}, "publisher", True)
    (tmp_path / "copa.yaml").write_text(
        f"output: {tmp_path / 'runs'}\nseed: 1\ndata: {{shards: {shards}, train: [xcopa/train/en], "
        "dev: [xcopa/dev/en]}\nmodel: {random: tiny}\nbatch: {size: 16}\noptimizer: {lr: 0.001}\n"
        "schedule: {epochs: 1}\n", encoding="utf-8")
    run(tmp_path, *train, "train", str(tmp_path / "copa.yaml"), "--name", "copa")
    folder = tmp_path / "runs/copa"
    run(tmp_path, *train, "evaluate", str(folder), "--tasks", "xcopa", "--splits", "test")
    results = [json.loads(line) for line in (folder / "eval/results.jsonl").read_text(encoding="utf-8").splitlines()]
    scores = {row["language"]: row for row in results if row["split"] == "test"}
    assert set(scores) == set(LANGUAGES)
    for language, row in scores.items():
        lines = (folder / f"eval/predictions/xcopa/test-{language}.tsv").read_text(encoding="utf-8").splitlines()
        published = "DERIVED.test.en.jsonl" if language == "en" else f"test.{language}.jsonl"
        text = (XCOPA / published).read_text(encoding="utf-8")
        gold = [json.loads(line)["label"] for line in text.split("\n") if line]
        assert row["n"] == len(lines) == len(gold) == 500
        assert row["value"] == pytest.approx(sum(int(a) == b for a, b in zip(lines, gold, strict=True)) / 500)
