"""Every kind of task: its record is consistent, and missing labels cost nothing."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn import functional

from data_prep.shards.read import open_cell
from trainer.data.loader import Examples
from trainer.kinds import KINDS, Masking
from trainer.kinds.batch import Batch
from trainer.kinds.kind import Rows
from trainer.kinds.pair import decode, gold, loss_count, losses, serialise, targets
from trainer.model.encoders import FAMILIES

ROOT = Path(__file__).parents[3]


def pairs(labels: list[int]) -> Batch:
    ids = torch.zeros(len(labels), 1, dtype=torch.int64)
    batch = Batch(ids, ids.bool(), ids, ids.bool(), torch.arange(len(labels)))
    return replace(batch, targets=targets(pa.table({"label": pa.array(labels, pa.int8())}), batch))


def test_missing_labels_cost_nothing() -> None:
    logits = torch.randn(3, 4, requires_grad=True)
    found = losses(logits, pairs([2, -1, 0]))
    expected = functional.cross_entropy(logits, torch.tensor([2, 0, 0]), reduction="none")
    assert torch.equal(found, torch.stack([expected[0], torch.tensor(0.0), expected[2]]))
    found.sum().backward()
    assert logits.grad is not None
    assert not logits.grad[1].any()
    assert loss_count(pairs([2, -1, 0])) == 2
    assert loss_count(pairs([1, 1])) == 2


def test_classes_are_decoded() -> None:
    logits = torch.tensor([[0.0, 1.0], [3.0, 2.0]])
    assert decode(logits, pairs([-1, 1])).tolist() == [1, 0]
    assert gold(pairs([-1, 1])).tolist() == [-1, 1]


def test_predictions_have_a_line_for_every_row_of_the_source(shards: Path, tmp_path: Path) -> None:
    manifest = open_cell(shards / "xnli/train/en").manifest.model_copy(update={"source_rows": 4, "copies": 0})
    serialise(np.array([2, 0]), Rows(np.array([0, 3]), np.array(["0", "3"])), manifest, tmp_path / "x.tsv")
    assert (tmp_path / "x.tsv").read_text().split("\n") == [manifest.labels[2], "-", "-", manifest.labels[0], ""]


@pytest.mark.parametrize(("name", "cell"), [
    ("pair", "xnli/train/en"), ("mlm", "text/train/en"), ("tagging", "udpos/train/en")])
def test_what_a_kind_promises(shards: Path, name: str, cell: str) -> None:
    """Targets survive a move and a change of batch, and a loss is behind every prediction that is counted."""
    kind, examples = KINDS[name], Examples([open_cell(shards / cell)], 24, masking=Masking(0.3, 0))
    batch = examples[0, np.arange(8)]
    assert all(len(target) == 8 for target in batch.targets.values())
    doubled = batch.map(lambda tensor: torch.cat((tensor, tensor)))
    assert doubled.targets.keys() == batch.targets.keys()
    assert int(kind.loss_count(doubled)) == 2 * int(kind.loss_count(batch))
    count = int(kind.loss_count(batch))
    assert (count == 8) == kind.one_prediction
    logits = torch.zeros(count, 7 if kind.one_class else examples.tokens.vocab_size)
    assert float(kind.losses(logits, batch).sum()) == pytest.approx(count * np.log(logits.shape[1]))
    assert float(kind.divergence(logits, logits, batch)) == 0
    assert len(kind.decode(logits, batch)) == len(kind.gold(batch)) == 8
    assert all(kind.head in family.heads for family in (FAMILIES["xlm-roberta"], FAMILIES["bert"]))


def test_inputs_that_are_masked_need_a_masking(shards: Path) -> None:
    with pytest.raises(ValueError, match="kind mlm are masked at random"):
        Examples([open_cell(shards / "text/train/en")], 24)


def test_no_kind_is_told_apart_outside_the_kinds() -> None:
    """Neither by its name nor by the shape of its labels: what others ask is a field of the record."""
    found = []
    for path in sorted((ROOT / "trainer").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        compared = {constant.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Compare)
                    for constant in ast.walk(node) if isinstance(constant, ast.Constant)}
        if path.parent.name != "kinds" and (compared & set(KINDS) or re.search(r"labels\W*\.dim\(", text)):
            found.append(str(path))
    assert not found
