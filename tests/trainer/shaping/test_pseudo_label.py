"""Pseudo-labels: the rows and labels that a loop with transformers alone would keep, in a cell that trains."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from data_prep.base.errors import InputError
from data_prep.shards.assemble import assemble
from data_prep.shards.read import open_cell
from tests.random_cells import LABELS, PLAIN, write_random_cell
from tests.trainer.small_runs import TAGS, run, tree_of, write_cells, write_recipe
from trainer.kinds import KINDS
from trainer.runs.record import update_record
from trainer.shaping.pseudo_label import Choice, choose, pseudo_label

RARELY = {"evaluation.every_steps": "40", "checkpoint.every_steps": "40"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pseudo")
    write_cells(root / "shards")
    write_random_cell(root / "shards", "xnli/train/sw", 50, seed=3, labelled=False)
    write_random_cell(root / "shards", "xnli/test/sw", 10, seed=4)
    recipe = write_recipe(root / "work", root / "shards")
    run(recipe, "pairs", {"schedule.max_steps": "40"} | RARELY)
    run(recipe, "tags", TAGS | RARELY)
    shutil.copytree(root / "work/runs/pairs", root / "work/runs/text")
    update_record(root / "work/runs/text", kind="mlm")
    shutil.copytree(root / "shards/xnli", root / "shards/two")
    for file in (root / "shards/two").glob("*/*/manifest.json"):
        manifest = json.loads(file.read_text())
        other = {"task": "two", "labels": ["no", "yes", "perhaps"], "label_aliases": {}}
        file.write_text(json.dumps({**manifest, **other}))
    return root


def softmax_of(folder: Path, auto: type, path: Path) -> list[np.ndarray]:
    """Softmax of a run's best model on every row of a cell."""
    model = auto.from_pretrained(folder / "best").eval()  # type: ignore[attr-defined]
    found = []
    for row in open_cell(path).table.to_pylist():
        ids = torch.from_numpy(assemble(row["first_ids"], row.get("second_ids", []), 24, PLAIN))[None]
        with torch.no_grad():
            found.append(torch.softmax(model(ids).logits[0], -1).numpy())
    return found


def test_sure_predictions_become_labels(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, folder = root / "shards/xnli/train/sw", root / "work/runs/pairs"
    p_NC = np.array(softmax_of(folder, AutoModelForSequenceClassification, source))
    middle = float(np.median(p_NC.max(1)))
    pseudo_label(str(folder), "xnli/train/sw", name="self", confidence=middle, shards=str(root / "shards"))
    rows = np.flatnonzero(p_NC.max(1) >= middle)
    cell, before = open_cell(root / "shards/xnli+self/train/sw", "sha256"), open_cell(source)
    assert 0 < len(rows) < 50
    assert cell.table["id"].to_pylist() == rows.tolist()
    assert cell.table["label"].to_pylist() == p_NC.argmax(1)[rows].tolist()
    for name in ("key", "first_ids", "second_ids", "length"):
        assert cell.table[name].to_pylist() == before.table.take(rows)[name].to_pylist()
    assert sum(cell.manifest.skipped.values()) == 50 - len(rows)
    assert "pairs (" in cell.manifest.source
    assert cell.manifest.has_labels
    written = tree_of(cell.path)
    pseudo_label(str(folder), "xnli/train/sw", name="self", confidence=middle, shards=str(root / "shards"))
    assert tree_of(cell.path) == written
    assert "skipped" in capsys.readouterr().out
    with pytest.raises(InputError, match="is finished from"):
        pseudo_label(str(folder), "xnli/train/sw", name="self", confidence=0.1, shards=str(root / "shards"))
    run(root / "work/small.yaml", "second",
        {"data.train": "[xnli/train/en,xnli+self/train/sw]", "schedule.max_steps": "1"})


@pytest.mark.parametrize("max_rows", [None, 9])
def test_balanced_takes_the_surest_of_each_class(root: Path, max_rows: int | None) -> None:
    cell, generator = open_cell(root / "shards/xnli/train/en"), np.random.default_rng(0)
    decoded, least = generator.choice(3, 60, p=(0.6, 0.3, 0.1)), np.round(generator.uniform(0.3, 1, 60), 1)
    rows, skipped = choose(cell, decoded, least, Choice(0.5, max_rows, True), KINDS["pair"])
    fit = [[row for row in range(60) if decoded[row] == number and least[row] >= 0.5] for number in range(3)]
    each = min(map(len, fit)) if max_rows is None else 3
    expected = [row for of in fit for row in sorted(of, key=lambda row: -least[row])[:each]]
    assert rows.tolist() == sorted(expected)
    assert min(map(len, fit)) >= 3
    below = {f"{label}, below confidence 0.5": int(((decoded == number) & (least < 0.5)).sum())
             for number, label in enumerate(LABELS)}
    beyond = {f"{label}, beyond the number of rows": len(of) - each for label, of in zip(LABELS, fit, strict=True)}
    assert skipped == {reason: n for reason, n in (below | beyond).items() if n}


def test_accuracy_is_printed_only_when_asked_for(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, source = root / "work/runs/pairs", root / "shards/xnli/train/en"
    predicted = np.array(softmax_of(folder, AutoModelForSequenceClassification, source)).argmax(1)
    gold = open_cell(source).table["label"].to_numpy()
    for name, score in (("blind", False), ("scored", True)):
        pseudo_label(str(folder), "xnli/train/en", name=name, confidence=0, score=score, shards=str(root / "shards"))
        said = capsys.readouterr().out
        assert (f"by gold labels: {100 * np.mean(gold == predicted):.1f} %" in said) == score
        assert ("gold" in said) == score


def test_a_sentence_is_as_sure_as_its_least_certain_tag(root: Path) -> None:
    folder, source = root / "work/runs/tags", root / "shards/udpos/train/en"
    rows = open_cell(source).table.to_pylist()
    p_of = [p[1 + np.array(row["starts"])]
            for p, row in zip(softmax_of(folder, AutoModelForTokenClassification, source), rows, strict=True)]
    least: dict[int, float] = {}
    for p_PC, row in zip(p_of, rows, strict=True):
        least[row["id"]] = min(least.get(row["id"], 1.0), float(p_PC.max(1).min()))
    middle = float(np.median(list(least.values())))
    pseudo_label(str(folder), "udpos/train/en", name="self", confidence=middle, shards=str(root / "shards"))
    kept = [at for at, row in enumerate(rows) if least[row["id"]] >= middle]
    cell = open_cell(root / "shards/udpos+self/train/en")
    assert cell.table["id"].to_pylist() == [rows[at]["id"] for at in kept]
    assert cell.table["window"].to_pylist() == [rows[at]["window"] for at in kept]
    assert cell.table["labels"].to_pylist() == [p_of[at].argmax(1).tolist() for at in kept]


@pytest.mark.parametrize(("name", "cell", "flags", "says"), [
    ("text", "text/train/en", {}, "needs a model that predicts classes, found kind mlm"),
    ("tags", "udpos/train/en", {"balanced": True}, "--balanced needs one class per example"),
    ("pairs", "xnli/test/sw", {}, "is a test cell"),
    ("pairs", "xnli/train/sw", {"confidence": 1.5}, "must lie from 0 to 1"),
    ("pairs", "xnli/train/sw", {"confidence": 1.0}, "no prediction reaches confidence 1"),
    ("pairs", "udpos/train/en", {}, "kind tagging, the run was trained with pair"),
    ("pairs", "xnlj/train/en", {}, r"no finished cell xnlj/train/en \(did you mean .xnli/train/en.\?\); "
     "build it with"),
    ("pairs", "two/train/en", {}, r"labels \['no', 'yes', 'perhaps'\], the run was trained with \['contradiction'"),
    ("pairs", "xnli/train/*", {}, r"expected a cell as task/split/language, found 'xnli/train/\*'"),
    ("nowhere", "xnli/train/en", {}, "nowhere"),
])
def test_refused(root: Path, name: str, cell: str, flags: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        pseudo_label(str(root / "work/runs" / name), cell, name="no", shards=str(root / "shards"), **flags)  # type: ignore[arg-type]
    assert not list((root / "shards").glob("*+no/*/*"))
