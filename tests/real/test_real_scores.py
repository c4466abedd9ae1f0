"""STS-B and SICK relatedness, where they are: every row arrives, and a run is scored in every language."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from data_prep.__main__ import main
from data_prep.shards.read import open_cell
from data_prep.tokenizer import save_tokenizer, train_tokenizer
from tests.real.commands import DATA, run
from trainer.results.scores import read_rows

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (DATA / "stsb").is_dir(), reason=f"the real benchmark files are not at {DATA}"),
]
LANGUAGES = ("de", "en", "es", "fr", "it", "ja", "nl", "pl", "pt", "ru", "zh")


def published(split: str, language: str) -> list[list[str]]:
    with open(DATA / f"stsb/stsb-{language}-{split}.csv", encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def test_scores_of_every_language(tmp_path: Path) -> None:
    texts = [text for language in LANGUAGES for row in published("test", language)[:150] for text in row[:2]]
    save_tokenizer(train_tokenizer(texts, 3000), tmp_path / "tokenizer")
    for task, source in (("stsb", "stsb"), ("sick_relatedness", "sick")):
        assert main(["build", task, "--source", str(DATA / source), "--tokenizer", str(tmp_path / "tokenizer"),
                     "--out", str(tmp_path / "shards"), "--max_length", "48"]) == 0
    for split, language in (("train", "en"), ("dev", "zh"), *(("test", language) for language in LANGUAGES)):
        cell = open_cell(tmp_path / f"shards/stsb/{split}/{language}")
        assert cell.manifest.skipped == {}
        assert cell.table["score"].to_pylist() == [float(row[2]) for row in published(split, language)]
    sick = [open_cell(tmp_path / f"shards/sick_relatedness/{split}/en").manifest for split in ("train", "dev", "test")]
    assert [(one.rows, one.keys, one.has_labels) for one in sick] == [
        (4500, "publisher", True), (500, "publisher", True), (4927, "publisher", True)]
    (tmp_path / "r.yaml").write_text(
        f"output: {tmp_path / 'runs'}\nmodel: {{random: tiny}}\ndata: {{shards: {tmp_path / 'shards'}, train: "
        "[stsb/train/en]}\nbatch: {size: 64}\nschedule: {epochs: 1}\nengine: {config: zero0}\n", encoding="utf-8")
    run(tmp_path, "python", "-m", "trainer", "train", str(tmp_path / "r.yaml"), "--name", "sts")
    run(tmp_path, "python", "-m", "trainer", "evaluate", str(tmp_path / "runs/sts"), "--tasks", "stsb")
    rows = {(row.language, row.metric): row for row in read_rows(tmp_path / "runs/sts/eval/results.jsonl")}
    for language in LANGUAGES:
        found = np.loadtxt(tmp_path / f"runs/sts/eval/predictions/stsb/test-{language}.tsv", dtype=np.float32)
        gold = [float(row[2]) for row in published("test", language)]
        assert rows[language, "spearman"].value == pytest.approx(stats.spearmanr(found, gold)[0], rel=1e-12)
        assert rows[language, "pearson"].value == pytest.approx(stats.pearsonr(found, gold)[0], rel=1e-6)
