"""Tagging: one prediction per word, at its first piece; windows joined; every robust method trains it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForTokenClassification

from data_prep.base.errors import InputError
from data_prep.shards.read import open_cell
from tests.encoder_sites import inputs_of
from tests.random_cells import TAGS as NAMES
from tests.random_cells import write_random_cell
from tests.trainer.small_runs import TAGS, losses_of, run, write_recipe
from trainer.checkpoint.export import export
from trainer.config import load_recipe
from trainer.data.loader import Examples
from trainer.evaluate.run import evaluate
from trainer.kinds.batch import Batch
from trainer.kinds.kind import Rows
from trainer.kinds.tagging import KIND, decode, gold, join, losses, serialise, spell, targets
from trainer.model.build import build_model
from trainer.model.encoders import FAMILIES
from trainer.model.site import SiteModel
from trainer.robust import METHODS


def batch_of(starts: list[list[int]], labels: list[list[int]], pieces: list[int], first_at: int = 1) -> Batch:
    ids = torch.zeros(len(starts), max(pieces) + 2, dtype=torch.int64)
    batch = Batch(ids, ids.bool(), ids, ids.bool(), ids[:, 0], first_at=torch.full((len(starts),), first_at))
    rows = {"first_ids": [[5] * size for size in pieces], "starts": starts, "labels": labels}
    table = pa.table({name: pa.array(column, pa.list_(pa.int32())) for name, column in rows.items()})
    return replace(batch, targets=targets(table, batch))


def test_words_stand_at_their_first_pieces() -> None:
    batch = batch_of([[0, 2], [1]], [[2, 0], []], [3, 2], first_at=2)
    assert batch.targets["words"].tolist() == [[2, 4], [3, -1]]
    assert batch.targets["labels"].tolist() == [[2, 0], [-1, -1]]
    hidden = torch.arange(2 * 5.0).view(2, 5, 1)
    assert KIND.logits(lambda states: states, hidden, batch).flatten().tolist() == [2.0, 4.0, 8.0]
    logits = torch.randn(3, 3, requires_grad=True)
    found = losses(logits, batch)
    assert torch.equal(found, torch.stack([functional.cross_entropy(logits[:2], torch.tensor([2, 0]), reduction="sum"),
                                           torch.tensor(0.0)]))
    found.sum().backward()
    assert logits.grad is not None
    assert not logits.grad[2].any(), "a word without a label costs nothing"
    assert KIND.loss_count(batch) == 2
    assert [tags.tolist() for tags in decode(torch.eye(3)[[1, 0, 2]], batch)] == [[1, 0], [2]]
    assert [tags.tolist() for tags in gold(batch)] == [[2, 0], [-1]]


@pytest.mark.parametrize(("starts", "labels"), [([[0, 3]], [[0, 0]]), ([[-1, 2]], [[0, 0]]), ([[0, 2]], [[0]])])
def test_damaged_starts_are_found(starts: list[list[int]], labels: list[list[int]]) -> None:
    with pytest.raises(InputError, match="starts of words outside"):
        batch_of(starts, labels, [3])


def ragged(values: list[list[int]]) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    found[:] = [np.array(value) for value in values]
    return found


def test_windows_are_joined_and_tags_named() -> None:
    rows = pa.table({"id": [7, 7, 3, 7], "window": [1, 0, 0, 2]})
    predicted, other = join(ragged([[1, 1], [0], [2, 2], [0]]), ragged([[5, 5], [4], [6, 6], [-1]]), rows)
    assert [tags.tolist() for tags in predicted] == [[0, 1, 1, 0], [2, 2]]
    assert spell(other, list("abcdefg")).tolist() == [["e", "f", "f", ""], ["g", "g"]]
    equal = join(ragged([[1], [2]]), ragged([[1], [2]]), pa.table({"id": [0, 1], "window": [0, 0]}))
    assert [tags.tolist() for tags in equal[0]] == [[1], [2]]


def test_predictions_keep_the_place_of_sentences_left_out(shards: Path, tmp_path: Path) -> None:
    manifest = open_cell(shards / "udpos/train/en").manifest.model_copy(update={"source_rows": 4, "copies": 0})
    tags = spell(ragged([[0, 1], [2]]), NAMES)
    serialise(tags, Rows(np.array([0, 2]), np.array(["0", "2"])), manifest, tmp_path / "x.tsv")
    assert (tmp_path / "x.tsv").read_text() == "O\nB-PER\n\n-\n\nI-PER\n\n-\n"


@pytest.mark.parametrize("name", FAMILIES)
def test_heads_work_position_by_position(name: str) -> None:
    """What the logits of chosen words rest on."""
    family = FAMILIES[name]
    config = family.random_config("tiny", 60, 24, pad_id=1, num_labels=3)
    auto_class: Any = family.auto_class(KIND.head)
    model = auto_class.from_config(config).eval()
    hidden = torch.randn(2, 7, 64)
    ids = torch.zeros(2, 7, dtype=torch.int64)
    head, batch = family.heads[KIND.head].logits, Batch(ids, ids.bool(), ids, ids.bool(), ids[:, 0])
    rows, places = torch.tensor([0, 0, 1]), torch.tensor([0, 6, 3])
    torch.testing.assert_close(head(model, hidden[rows, places], batch), head(model, hidden, batch)[rows, places])


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_it_or_is_refused(shards: Path, tmp_path: Path, method: str) -> None:
    recipe = write_recipe(tmp_path, shards)
    short = {**TAGS, "robust.method": method, "schedule.max_steps": "2", "evaluation.every_steps": "2"}
    if method == "mixup":
        with pytest.raises(InputError, match=r"only examples with one label can be mixed; .* is of kind tagging"):
            run(recipe, method, short)
        return
    found = losses_of(run(recipe, method, short))
    assert len(found) == 2
    assert 0.5 < found[0] < 4


def test_trained_evaluated_and_exported(shards: Path, tmp_path: Path) -> None:
    """It learns the tag that follows from a piece; files and scores are of whole sentences; transformers opens it."""
    root = tmp_path / "shards"
    for name, rows in (("udpos/train/en", 200), ("udpos/dev/en", 40), ("udpos/test/de", 43)):
        write_random_cell(root, name, rows, kind="tagging", seed=rows, labelled=name != "udpos/test/de")
    recipe = write_recipe(tmp_path, root)
    folder = run(recipe, "learns", {**TAGS, "schedule.max_steps": "120", "evaluation.every_steps": "60",
                                    "optimizer.lr": "0.01"})
    assert evaluate(str(folder), tasks="udpos", splits="dev") == evaluate(str(folder), tasks="udpos") == 0
    rows = [json.loads(line) for line in (folder / "eval/results.jsonl").read_text().splitlines()]
    dev, test = (next(row for row in rows if row["split"] == split and row["n"]) for split in ("dev", "test"))
    assert (dev["metric"], dev["n"], test["n"], test["value"]) == ("span_f1", 32, 35, None)
    assert dev["value"] > 0.8
    cell = open_cell(root / "udpos/test/de")
    sentences = (folder / "eval" / test["predictions"]).read_text().removesuffix("\n").split("\n\n")
    words = np.zeros(35, dtype=int)
    np.add.at(words, cell.table["id"].to_numpy(), cell.table["starts"].combine_chunks().value_lengths().to_numpy())
    assert [len(tags.split("\n")) for tags in sentences] == words.tolist()
    export(str(folder), out=str(tmp_path / "exported"))
    model = AutoModelForTokenClassification.from_pretrained(tmp_path / "exported").eval()
    assert list(model.config.id2label.values()) == NAMES
    examples = Examples([cell], 24)
    batch = examples[0, np.arange(43)]
    own, _ = build_model(load_recipe(str(recipe), {**TAGS, "model.name": str(folder / "best"), "model.random": "null"}),
                         cell.manifest, 24)
    with torch.no_grad():
        own_PC = SiteModel(own, KIND, "word_embeddings").eval()(batch)
        all_BLC = model(**inputs_of(model, batch)).logits
    at = batch.targets["words"] >= 0
    torch.testing.assert_close(own_PC, all_BLC[at.nonzero()[:, 0], batch.targets["words"][at]], rtol=1e-4, atol=1e-5)
