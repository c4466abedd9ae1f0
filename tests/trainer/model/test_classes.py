"""What becomes of a finished classifier's head: its rows follow the names of its classes, or are drawn anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from data_prep.shards.manifest import Manifest
from data_prep.shards.read import open_cell
from tests.trainer.small_runs import launcher_variables_kept, run, weights_of
from trainer.__main__ import main
from trainer.config import load_recipe
from trainer.model.build import build_model
from trainer.train import train

WEIGHT, BIAS = "classifier.out_proj.weight", "classifier.out_proj.bias"
WORK = {"model.random": "null"}


@pytest.fixture
def manifest(shards: Path) -> Manifest:
    return open_cell(shards / "xnli/train/en").manifest


def classifier(recipe: Path, manifest: Manifest, folder: Path, names: list[str]) -> tuple[Path, Any]:
    """A saved classifier whose row for class i holds 10 + i, and its bias 20 + i; and that model."""
    model, _ = build_model(load_recipe(str(recipe), {"seed": "3"}), manifest, 24)
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: i for i, name in enumerate(names)}
    with torch.no_grad():
        model.classifier.out_proj.weight.copy_(torch.arange(10.0, 10 + len(names))[:, None].expand(-1, 64))
        model.classifier.out_proj.bias.copy_(torch.arange(20.0, 20 + len(names)))
    model.save_pretrained(folder)
    return folder, model


def build(recipe: Path, manifest: Manifest, folder: Path, **more: str) -> tuple[Any, dict[str, Any]]:
    return build_model(load_recipe(str(recipe), {**WORK, "model.name": str(folder), **more}), manifest, 24)


@pytest.mark.parametrize(("names", "rows"), [
    (["entailment", "neutral", "contradiction"], [2, 0, 1]),
    (["NEUTRAL", "Contradictory", "entailment"], [1, 2, 0]),
])
def test_rows_follow_the_names_of_the_classes(recipe: Path, manifest: Manifest, tmp_path: Path, names: list[str],
                                              rows: list[int]) -> None:
    folder, old = classifier(recipe, manifest, tmp_path / "other", names)
    model, origin = build(recipe, manifest, folder)
    assert model.classifier.out_proj.weight[:, 0].tolist() == [10.0 + row for row in rows]
    assert model.classifier.out_proj.bias.tolist() == [20.0 + row for row in rows]
    assert torch.equal(model.classifier.dense.weight, old.classifier.dense.weight)
    assert model.config.id2label == dict(enumerate(manifest.labels))
    assert origin["reordered_keys"] == [BIAS, WEIGHT]
    assert origin["classes"] == names
    assert origin["new_keys"] == origin["dropped_keys"] == []


def test_the_same_order_is_left_alone(recipe: Path, manifest: Manifest, tmp_path: Path) -> None:
    for names in (manifest.labels, ["Contradiction", "ENTAILMENT", "neutral"]):
        folder, _ = classifier(recipe, manifest, tmp_path / names[1], names)
        model, origin = build(recipe, manifest, folder)
        assert model.classifier.out_proj.bias.tolist() == [20.0, 21.0, 22.0]
        assert origin == {"model.name": str(folder), "new_keys": [], "dropped_keys": [], "head_rows": [0, 1, 2]}


@pytest.mark.parametrize("names", [["positive", "negative", "neutral"], ["LABEL_0", "LABEL_1", "LABEL_2"]], ids=str)
def test_classes_of_other_names_are_dropped(recipe: Path, manifest: Manifest, tmp_path: Path, names: list[str]) -> None:
    folder, old = classifier(recipe, manifest, tmp_path / "other", names)
    model, origin = build(recipe, manifest, folder)
    assert origin["dropped_keys"] == origin["new_keys"] == [BIAS, WEIGHT]
    assert origin["classes"] == names
    assert "reordered_keys" not in origin
    weight = model.classifier.out_proj.weight
    assert model.classifier.out_proj.bias.tolist() == [0.0, 0.0, 0.0]
    assert 0.015 < weight.std() < 0.025, "as transformers draws it, 0.02"
    assert torch.equal(model.classifier.dense.weight, old.classifier.dense.weight), "it has no classes"
    assert torch.equal(weight, build(recipe, manifest, folder)[0].classifier.out_proj.weight), "a function of the seed"
    assert not torch.equal(weight, build(recipe, manifest, folder, seed="8")[0].classifier.out_proj.weight)


def test_a_configuration_that_names_no_or_other_rows(recipe: Path, manifest: Manifest, tmp_path: Path) -> None:
    folder, _ = classifier(recipe, manifest, tmp_path / "other", manifest.labels)
    content = json.loads((folder / "config.json").read_text())
    for id2label in (None, {"1": "entailment", "2": "neutral", "7": "contradiction"},
                     dict(enumerate([*manifest.labels, "more"]))):
        (folder / "config.json").write_text(json.dumps({**content, "id2label": id2label, "label2id": None}))
        assert build(recipe, manifest, folder)[1]["dropped_keys"] == [BIAS, WEIGHT]


def test_an_encoder_without_a_head_has_no_classes(recipe: Path, manifest: Manifest, tmp_path: Path) -> None:
    text = open_cell(Path(load_recipe(str(recipe)).data.shards) / "text/train/en").manifest
    build_model(load_recipe(str(recipe)), text, 24)[0].save_pretrained(tmp_path / "mlm")
    origin = build(recipe, manifest, tmp_path / "mlm")[1]
    assert not {"classes", "reordered_keys"} & origin.keys()
    assert {WEIGHT, BIAS} < set(origin["new_keys"])
    classifier(recipe, manifest, tmp_path / "pair", ["x", "y", "z"])
    model, origin = build(recipe, text, tmp_path / "pair")
    assert "classes" not in origin
    assert model.config.num_labels == 2, "none of the classifier's: a head for spans would have one output for each"


def test_init_from_drops_the_head_whatever_its_classes(recipe: Path, manifest: Manifest, tmp_path: Path) -> None:
    folder = run(recipe, "first", {"schedule.max_steps": "1"})
    shutil.rmtree(folder / "best")
    _, old = classifier(recipe, manifest, folder / "best", ["entailment", "neutral", "contradiction"])
    model, origin = build_model(load_recipe(str(recipe), {**WORK, "init_from": str(folder)}), manifest, 24)
    assert torch.equal(model.roberta.encoder.layer[1].output.dense.weight,
                       old.roberta.encoder.layer[1].output.dense.weight)
    assert model.classifier.out_proj.bias.tolist() == [0.0, 0.0, 0.0]
    assert {WEIGHT, BIAS} < set(origin["dropped_keys"])
    assert {WEIGHT, BIAS} < set(origin["new_keys"])


def said(recipe: Path, name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What training from `folder`, by so little that nothing moves, says that it took."""
    with launcher_variables_kept():
        assert train(str(recipe), name=name, **{**WORK, "model.name": str(folder), "schedule.max_steps": "1",
                                                "optimizer.lr": "1e-12"}) == 0
    return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("took "))


def test_training_says_what_became_of_the_head(recipe: Path, manifest: Manifest, tmp_path: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = classifier(recipe, manifest, tmp_path / "other", ["entailment", "neutral", "contradiction"])
    line = said(recipe, "ordered", folder, capsys)
    assert line.endswith(f"dropped nothing; reordered {BIAS}, {WEIGHT}; new nothing; classes of the model: entailment, "
                         "neutral, contradiction; of the task: contradiction, entailment, neutral")
    assert weights_of(recipe.parent / "runs" / "ordered")[BIAS].tolist() == pytest.approx([22.0, 20.0, 21.0])
    folder, _ = classifier(recipe, manifest, tmp_path / "odd", ["a\x1b[2J\nb", "y" * 999, "neutral"])
    line = said(recipe, "dropped", folder, capsys)
    assert f"dropped {BIAS}, {WEIGHT}; new {BIAS}, {WEIGHT}; classes of the model: a [2J b, {'y' * 40}, neutral" in line
    assert json.loads((recipe.parent / "runs" / "dropped" / "run.json").read_text())["weights_from"]["classes"][2] == (
        "neutral")


def test_a_best_whose_classes_are_not_the_records_is_not_evaluated(recipe: Path, manifest: Manifest, tmp_path: Path,
                                                                   capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(recipe, "first", {"schedule.max_steps": "1"})
    assert main(["export", str(folder), "--out", str(tmp_path / "exported")]) == 0
    exported = json.loads((tmp_path / "exported" / "config.json").read_text())
    assert exported["id2label"] == {"0": "contradiction", "1": "entailment", "2": "neutral"}
    order = {"0": "entailment", "1": "neutral", "2": "contradiction"}
    (folder / "best" / "config.json").write_text(json.dumps(exported | {"id2label": order}))
    with launcher_variables_kept():
        assert main(["evaluate", str(folder), "--tasks", "xnli", "--splits", "dev"]) == 2
    message = capsys.readouterr().err
    assert "classes are entailment, neutral, contradiction, the record's contradiction, entailment, neutral" in message
