"""A run of several tasks through the commands: training, a kill and its resume, and of every head evaluation, export,
averages and training dynamics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoModelForTokenClassification

from data_prep.base.errors import InputError
from data_prep.shards.assemble import assemble
from data_prep.shards.read import open_cell
from tests.random_cells import PLAIN
from tests.trainer.small_runs import TEXT, killed_at, metrics_of, run, weights_of, write_cells, write_recipe
from trainer.checkpoint.average import average
from trainer.checkpoint.export import export
from trainer.checkpoint.snapshots import snapshots_of
from trainer.evaluate.run import evaluate
from trainer.results.dynamics import epoch_file, read_summary
from trainer.runs.record import read_finished
from trainer.shaping.pseudo_label import pseudo_label

MIXTURE = {"data.train": "[text/train/en, xnli/train/en, udpos/train/en]", "data.select_on": "xnli/dev/en",
           "data.dev": "[xnli/dev/en, udpos/dev/en, text/dev/en]", "mixture.sampling": "uniform",
           "mixture.tasks_per_step": "2", "batch.micro_batch_size": "2", "robust.method": "pgd",
           "checkpoint.snapshots": "2"}
HEADS = ("model.safetensors", "heads/text/model.safetensors", "heads/udpos/model.safetensors")


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


def assert_mean(found: Path, parts: list[Path]) -> None:
    """Every weight of the folder `found`, of other heads too, is numpy's mean of those in `parts`, which differ."""
    for name in HEADS:
        weights = [load_file(part / name) for part in parts]
        for key, mean in load_file(found / name).items():
            expected = np.mean([one[key].astype(np.float64) for one in weights], axis=0).astype(mean.dtype)
            np.testing.assert_array_equal(mean, expected, err_msg=f"{name}: {key}")
        assert any(not np.array_equal(weights[0][key], weights[1][key]) for key in weights[0]), name


def test_averages_have_every_head(whole: Path, tmp_path: Path) -> None:
    """... with rows of its own for each, and exported with the encoder of the average."""
    assert average(str(whole), last=2) == 0
    assert_mean(whole / "average", snapshots_of(whole))
    assert evaluate(str(whole), tasks="xnli,udpos", splits="dev", languages="en", weights="best,average") == 0
    rows = [json.loads(line) for line in (whole / "eval/results.jsonl").read_text().splitlines()]
    assert {(row["task"], row["selection"]) for row in rows} >= {
        (task, selection) for task in ("xnli", "udpos") for selection in ("best", "average")}
    with pytest.raises(InputError, match=r"--task udpo: no task of .*; did you mean 'udpos'"):
        export(str(whole), out=str(tmp_path / "none"), task="udpo", weights="average")
    assert export(str(whole), out=str(tmp_path / "tags"), task="udpos", weights="average") == 0
    model = AutoModelForTokenClassification.from_pretrained(tmp_path / "tags")
    expected = load_file(whole / "average/model.safetensors") | load_file(whole / "average" / HEADS[2])
    for name, weight in model.state_dict().items():
        np.testing.assert_array_equal(weight.numpy(), expected[name], err_msg=name)


def test_the_mean_of_runs_has_every_head(recipe: Path) -> None:
    """... and is refused where only the first one started alike, with the model's own."""
    soup, short = recipe.parent / "runs/soup", {"schedule.max_steps": "2", "model.random": "null"}
    mlm = run(recipe, "mlm", {"schedule.max_steps": "2", **TEXT})
    kept = {**MIXTURE, **short, "model.name": str(mlm / "best")}
    apart = [run(recipe, f"apart{seed}", {**kept, "seed": seed}) for seed in ("7", "8")]
    with pytest.raises(InputError, match="initial heads were drawn from different seeds"):
        average(*map(str, apart), out=str(soup))
    kept |= {"schedule.max_steps": "4", "model.head_seed": "1"}
    runs = [run(recipe, f"alike{seed}", {**kept, "seed": seed}) for seed in ("7", "8")]
    assert average(*map(str, runs), out=str(soup)) == 0
    assert_mean(soup / "best", [one / "best" for one in runs])
    assert evaluate(str(soup), tasks="xnli,udpos", splits="dev", languages="en") == 0


def test_dynamics_are_those_of_each_head(recipe: Path, tmp_path: Path) -> None:
    """The last epoch is measured with the very weights that are kept."""
    folder = run(recipe, "dynamics", {
        **MIXTURE, "data.train": "[xnli/train/en, udpos/train/en]", "data.dev": "[xnli/dev/en]", "model.dropout": "0.1",
        "logging.dynamics": "true", "schedule.max_steps": "30", "evaluation.every_steps": "30", "checkpoint.snapshots":
        "0", "robust.method": "plain"})
    assert export(str(folder), out=str(tmp_path / "tags"), task="udpos") == 0
    columns = pq.read_table(epoch_file(folder, 2)).to_pydict()
    found = {(cell, number): (p, right) for cell, number, p, right in zip(*columns.values(), strict=True)}
    cells = {name: open_cell(recipe.parents[1] / "shards" / name) for name in ("xnli/train/en", "udpos/train/en")}
    models = (AutoModelForSequenceClassification.from_pretrained(folder / "best"),
              AutoModelForTokenClassification.from_pretrained(tmp_path / "tags"))
    expected: dict[tuple[str, int], list[tuple[float, bool]]] = {}
    for (name, cell), model in zip(cells.items(), models, strict=True):
        for row in cell.table.to_pylist():
            ids = torch.from_numpy(assemble(row["first_ids"], row.get("second_ids", []), 24, PLAIN))[None]
            with torch.no_grad():
                p = torch.softmax(model.eval()(ids).logits[0], -1).numpy()
            golds = [(p, row["label"])] if "label" in row else [
                (p[1 + start], label) for start, label in zip(row["starts"], row["labels"], strict=True)]
            expected.setdefault((name, row["id"]), []).extend((one[gold], one.argmax() == gold) for one, gold in golds)
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert found[key] == pytest.approx(np.mean(values, axis=0), abs=1e-5), key
    summary = read_summary(folder / "dynamics.parquet")
    assert sorted(set(summary["cell"])) == sorted(cells)
    assert (summary["epochs"] == 2).all()


def test_dynamics_beside_a_language_model_are_refused(recipe: Path) -> None:
    with pytest.raises(InputError, match=r"text/train/en is of kind mlm; kinds that have them: pair, tagging"):
        run(recipe, "refused", MIXTURE | {"logging.dynamics": "true"})


def test_pseudo_labels_are_those_of_the_first_head(whole: Path) -> None:
    shards = whole.parents[2] / "shards"
    with pytest.raises(InputError, match=r"has several tasks, and pseudo_label takes the head of xnli; name cells"):
        pseudo_label(str(whole), "udpos/train/en", name="self", shards=str(shards))
    pseudo_label(str(whole), "xnli/train/en", name="self", confidence=0.0, shards=str(shards))
    assert open_cell(shards / "xnli+self/train/en").manifest.examples == 60
