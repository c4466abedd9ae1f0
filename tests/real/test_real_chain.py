"""The whole chain on real files: tokenizer, shards, intermediate and robust training, evaluation, report.

A tiny model trained for seconds: what is checked is that every door fits and every number is honest, not accuracy.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.real.commands import DATA, run
from tests.real.rescore import rescore
from trainer.distributed.ranks import free_port

LANGUAGES = ("en", "de", "sw", "tr", "zh")

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (DATA / "mnli_15k").is_dir(), reason=f"real benchmark files are not at {DATA}"),
]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything up to the report; returns the folder that holds shards/, runs/ and report/."""
    folder = tmp_path_factory.mktemp("chain")
    prepare, train = (sys.executable, "-m", "data_prep"), (sys.executable, "-m", "trainer")
    shards, tokenizer = str(folder / "shards"), str(folder / "tokenizer")
    run(folder, *prepare, "tokenizer", "--texts", f"{DATA / 'mnli_15k'},{DATA / 'xnli'}", "--vocab_size", "8000",
        "--out", tokenizer)
    common = ("--tokenizer", tokenizer, "--out", shards, "--workers", "2")
    run(folder, *prepare, "build", "mnli", "--source", str(DATA / "mnli_15k"), "--languages", "en", *common)
    run(folder, *prepare, "build", "sick", "--source", str(DATA / "sick"), *common)
    run(folder, *prepare, "build", "xnli", "--source", str(DATA / "xnli"), "--splits", "dev",
        "--languages", ",".join(LANGUAGES), *common)
    (folder / "mnli.yaml").write_text(
        f"output: {folder / 'runs'}\nlabel: mnli\nmodel: {{random: tiny, dropout: 0.0}}\n"
        f"data: {{shards: {shards}, train: [mnli/train/en], dev: [xnli/dev/en]}}\n"
        "optimizer: {lr: 0.001}\nschedule: {max_steps: 300}\n"
        "evaluation: {on_collapse: warn}\n", encoding="utf-8")  # so short a run may well stay at chance
    run(folder, *train, "train", str(folder / "mnli.yaml"))
    (folder / "sick.yaml").write_text(
        f"output: {folder / 'runs'}\ninit_from: {folder / 'runs' / 'mnli-seed0'}\n"
        f"data: {{shards: {shards}, train: [sick/train/en], dev: [sick/dev/en]}}\n"
        "optimizer: {lr: 0.001}\nschedule: {max_steps: 140}\nrobust: {method: pgd}\n", encoding="utf-8")
    launcher = (str(Path(sys.executable).with_name("deepspeed")), "--num_accelerators", "2",
                "--master_port", str(free_port()), "--module", "trainer")
    run(folder, *launcher, "train", str(folder / "sick.yaml"), "--engine.config", "zero2")
    run(folder, *train, "evaluate", str(folder / "runs/sick-seed0"), "--tasks", "xnli", "--splits", "dev",
        "--generalized", "--shards", shards)
    run(folder, *train, "report", str(folder / "runs/sick-seed0"), "--out", str(folder / "report"))
    return folder


def test_scores_equal_those_recomputed_from_the_prediction_files(chain: Path) -> None:
    expected = rescore(chain / "runs/sick-seed0", DATA / "xnli")
    lines = (chain / "runs/sick-seed0/eval/results.jsonl").read_text(encoding="utf-8").split("\n")
    results = [json.loads(line) for line in lines if line]
    rows = [row for row in results if row["selection"] == "best" and row["setting"] == "generalized"]
    standard = {row["language"]: row["value"] for row in results if row["setting"] == "standard" and row["n"]}
    found = {(row["language"], row["language_2"]): (row["value"], row["n"]) for row in rows}
    assert len(expected) == len(LANGUAGES) ** 2
    assert found.keys() == expected.keys()
    assert standard == {row["language"]: row["value"] for row in rows if row["language"] == row["language_2"]}
    for pair, (accuracy, count) in expected.items():
        assert found[pair] == (pytest.approx(accuracy, abs=1e-12), count), pair


def test_the_encoder_came_from_the_intermediate_run_on_two_ranks(chain: Path) -> None:
    record = json.loads((chain / "runs/sick-seed0/run.json").read_text(encoding="utf-8"))
    assert record["weights_from"]["encoder_keys"] > 30
    assert all(key.startswith("classifier.") for key in record["weights_from"]["dropped_keys"])
    assert (record["world_size"], record["zero_stage"], record["method"]) == (2, 2, "pgd")


def test_the_report_names_every_language(chain: Path) -> None:
    page = (chain / "report/report.html").read_text(encoding="utf-8")
    markdown = (chain / "report/report.md").read_text(encoding="utf-8")
    for language in LANGUAGES:
        assert f" {language} " in markdown.replace("|", " ")
    assert "<svg" in page
    assert (chain / "report/results.csv").read_text(encoding="utf-8").count("\n") >= len(LANGUAGES) ** 2
