"""A run of several tasks through the commands: training, a kill and its resume, evaluation and export of every head."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoModelForTokenClassification

from data_prep.base.errors import InputError
from tests.trainer.small_runs import killed_at, metrics_of, run, weights_of, write_cells, write_recipe
from trainer.checkpoint.export import export
from trainer.evaluate.run import evaluate
from trainer.runs.record import read_finished

MIXTURE = {"data.train": "[text/train/en, xnli/train/en, udpos/train/en]", "data.select_on": "xnli/dev/en",
           "data.dev": "[xnli/dev/en, udpos/dev/en, text/dev/en]", "mixture.sampling": "uniform",
           "mixture.tasks_per_step": "2", "batch.micro_batch_size": "2", "robust.method": "pgd"}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mixture")
    write_cells(root / "shards")
    return write_recipe(root / "work", root / "shards")


@pytest.fixture(scope="module")
def whole(recipe: Path) -> Path:
    return run(recipe, "whole", MIXTURE)


def test_a_killed_run_goes_on_bit_for_bit(recipe: Path, whole: Path) -> None:
    with killed_at(7):
        run(recipe, "killed", MIXTURE)
    folder = run(recipe, "killed", MIXTURE)
    assert metrics_of(folder) == metrics_of(whole)
    found, expected = weights_of(folder), weights_of(whole)
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    for head in ("text", "udpos"):
        name = f"best/heads/{head}/model.safetensors"
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def test_every_task_is_evaluated_with_its_head(whole: Path) -> None:
    record = read_finished(whole)
    assert (record.best_task, record.kind, list(record.tasks)) == ("xnli", "pair", ["text", "xnli", "udpos"])
    assert sum(record.drawn_shares.values()) == pytest.approx(1.0)
    assert {key for line in metrics_of(whole) for key in line} >= {f"train/loss/{task}" for task in record.tasks}
    assert evaluate(str(whole), tasks="xnli,udpos,text", splits="dev", languages="en") == 0
    rows = [json.loads(line) for line in (whole / "eval/results.jsonl").read_text().splitlines()]
    best = {(row["task"], row["kind"], row["metric"]): row["value"] for row in rows if row["selection"] == "best"}
    step = record.selection.step
    seen = next(line for line in metrics_of(whole) if line["step"] == step and "dev/accuracy/xnli/dev/en" in line)
    for (task, _, metric), value in best.items():  # with the very weights that best/ was kept of
        assert value == pytest.approx(seen[f"dev/{metric}/{task}/dev/en"], rel=1e-6)
    assert {key[:2] for key in best} == {("xnli", "pair"), ("udpos", "tagging"), ("text", "mlm")}
    oracle = {(row["task"], row["kind"], row["metric"]) for row in rows if row["selection"] == "oracle"}
    assert oracle == {("xnli", "pair", "accuracy"), ("udpos", "tagging", "span_f1"), ("text", "mlm", "perplexity")}


def test_every_head_is_exported(whole: Path, tmp_path: Path) -> None:
    for task, auto_class in (("udpos", AutoModelForTokenClassification), ("text", AutoModelForMaskedLM)):
        assert export(str(whole), out=str(tmp_path / task), task=task) == 0
        model, info = auto_class.from_pretrained(tmp_path / task, output_loading_info=True)
        assert not [*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]]
        encoder = weights_of(whole)["roberta.encoder.layer.1.output.dense.weight"]
        assert torch.equal(model.base_model.encoder.layer[1].output.dense.weight, encoder)
    assert torch.equal(model.lm_head.decoder.weight, model.base_model.embeddings.word_embeddings.weight)
    with pytest.raises(InputError, match=r"--task udpo: no task of .*; did you mean 'udpos'"):
        export(str(whole), out=str(tmp_path / "none"), task="udpo")


def test_mixup_is_refused_where_labels_cannot_be_mixed(recipe: Path) -> None:
    with pytest.raises(InputError, match=r"only examples with one label can be mixed; .*udpos"):
        run(recipe, "mixup", MIXTURE | {"data.dev": "[xnli/dev/en]", "data.train": "[xnli/train/en, udpos/train/en]",
                                        "robust.method": "mixup"})
    assert not (recipe.parent / "runs/mixup").exists()


def test_a_micro_batch_within_two_parts_is_refused(recipe: Path) -> None:
    with pytest.raises(InputError, match=r"micro_batch_size 8 does not divide a rank's share of 4 .*tasks_per_step"):
        run(recipe, "refused", MIXTURE | {"batch.micro_batch_size": "8"})
