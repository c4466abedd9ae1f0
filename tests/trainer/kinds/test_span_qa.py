"""Spans: the loss is transformers' own, the best spans are those of brute force, windows of a question are joined."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from data_prep.base.errors import InputError
from data_prep.kinds import span_qa as prepared
from data_prep.shards.read import open_cell
from tests.random_cells import write_random_cell
from tests.trainer.small_runs import losses_of, run, write_recipe
from trainer.config import load_recipe
from trainer.data.loader import Examples, open_training_data
from trainer.evaluate.crossed import groups_of
from trainer.evaluate.inputs import first_windows
from trainer.kinds.batch import Batch
from trainer.kinds.kind import Rows
from trainer.kinds.span_qa import (
    KIND,
    LONGEST_ANSWER,
    MASKED,
    MISSING,
    N_BEST,
    NOWHERE,
    decode,
    divergence,
    gold,
    join,
    loss_count,
    losses,
    serialise,
    targets,
)
from trainer.metrics.answers import Answers
from trainer.model.build import build_model
from trainer.robust import METHODS


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("questions")
    write_random_cell(folder, "squad/train/en", 24, kind="span_qa")
    return folder


def test_names_are_those_of_the_shards() -> None:
    assert NOWHERE == prepared.NOWHERE
    assert set(KIND.columns) == set(prepared.columns)
    assert set(KIND.metrics) == set(prepared.METRICS)


def test_the_loss_is_transformers_own(root: Path, tmp_path: Path) -> None:
    """Mean per prediction, of windows one by one, which transformers gets without padding."""
    cell = open_cell(root / "squad/train/en")
    (tmp_path / "r.yaml").write_text("model: {random: tiny}\nschedule: {max_steps: 1}\ndata: {train: [a/b/c]}\n")
    model, _ = build_model(load_recipe(str(tmp_path / "r.yaml")), cell.manifest, 24)
    model.eval()
    examples = Examples([cell], 24)
    whole = examples[0, np.arange(24)]
    output = model(input_ids=whole.input_ids, attention_mask=whole.attention_mask.long())
    found = losses(torch.stack([output.start_logits, output.end_logits], dim=-1), whole)
    counted = 0
    for row in range(24):
        one = examples[0, np.array([row])]
        if int(one.targets["start"][0]) == MISSING:
            assert found[row].item() == 0
            assert cell.table["start"][row].as_py() == NOWHERE
            continue
        counted += 2
        expected = model(input_ids=one.input_ids, start_positions=one.targets["start"],
                         end_positions=one.targets["end"]).loss
        torch.testing.assert_close(found[row] / 2, expected)
    assert 0 < counted == int(loss_count(whole)) < 48


def test_targets(root: Path) -> None:
    cell = open_cell(root / "squad/train/en")
    batch = Examples([cell], 24)[0, np.arange(24)]
    for row, one in enumerate(cell.table.to_pylist()):
        ids, (at, behind) = batch.input_ids[row].tolist(), batch.targets["context"][row].tolist()
        assert ids[at:behind] == one["second_ids"]
        start, end = int(batch.targets["start"][row]), int(batch.targets["end"][row])
        if one["start"] >= 0:
            assert ids[start : end + 1] == one["second_ids"][one["start"] : one["end"] + 1]
        else:
            assert start == end == (0 if one["start"] == -1 else MISSING)
    assert gold(batch).tolist() == batch.targets["start"].tolist()
    rows = cell.table.slice(2, 1)
    unknown = rows.set_column(rows.schema.get_field_index("answers"), "answers", pa.array([[]], pa.list_(pa.string())))
    assert int(targets(unknown, batch)["start"][0]) == MISSING
    wrong = rows.set_column(rows.schema.get_field_index("end"), "end", pa.array([99]))
    with pytest.raises(InputError, match="outside its window"):
        targets(wrong, batch)


def a_batch(lengths: list[int], at: int, size: int) -> Batch:
    """Windows that begin at `at` of inputs with one special token behind them."""
    mask = torch.arange(size) < torch.tensor(lengths)[:, None]
    ids = torch.zeros(len(lengths), size, dtype=torch.int64)
    context = torch.tensor([[at, length - 1] for length in lengths])
    known = torch.zeros(len(lengths), dtype=torch.int64)
    return Batch(ids, mask, ids, mask, torch.arange(len(lengths)),
                 targets={"start": known, "end": known, "context": context})


def test_best_spans_are_those_of_brute_force() -> None:
    torch.manual_seed(0)
    lengths, at = [60, 45, 8, 7], 5
    batch = a_batch(lengths, at, 60)
    logits = 3 * torch.randn(4, 60, 2)
    found = decode(logits, batch)
    assert found.shape == (4, 1 + N_BEST, 3)
    for row, length in enumerate(lengths):
        pairs = [(float(logits[row, s, 0].double() + logits[row, e, 1].double()), s - at, e - at) for s, e in
                 itertools.product(range(at, length - 1), repeat=2) if s <= e < s + LONGEST_ANSWER]
        best = sorted(pairs, reverse=True)[:N_BEST]
        assert found[row, 0, 2] == float(logits[row, 0].double().sum())
        assert [tuple(entry) for entry in found[row, 1 : 1 + len(best), [2, 0, 1]].T.tolist()] == best
        assert (found[row, 1 + len(best) :, 2] == MASKED).all()


def test_padding_is_no_choice() -> None:
    torch.manual_seed(0)
    logits, other = torch.randn(2, 9, 2), torch.randn(2, 9, 2)
    short, long = a_batch([9, 9], 3, 9), a_batch([9, 9], 3, 14)

    def padded(given: Tensor) -> Tensor:
        return torch.cat([given, 50 * torch.randn(2, 5, 2)], dim=1)

    torch.testing.assert_close(losses(padded(logits), long), losses(logits, short))
    torch.testing.assert_close(divergence(padded(logits), padded(other), long), divergence(logits, other, short))
    np.testing.assert_array_equal(decode(padded(logits), long), decode(logits, short))
    p, q = logits.log_softmax(1), other.log_softmax(1)
    torch.testing.assert_close(divergence(logits, other, short), (p.exp() * (p - q)).sum())
    unknown = replace(short, targets=short.targets | {"start": torch.tensor([0, MISSING])})
    torch.testing.assert_close(divergence(logits, other, unknown), (p.exp() * (p - q))[0].sum())


def spans(null: float, *found: tuple[int, int, float]) -> np.ndarray:
    entries = np.full((1 + N_BEST, 3), MASKED)
    entries[0, 2] = null
    entries[1 : 1 + len(found)] = np.reshape(found, (-1, 3))
    return entries


def windows(nullable: int, answers: list[str]) -> pa.Table:
    """Two questions: one of two windows, one of one; a piece of the second is a space."""
    return pa.table({
        "window": [0, 1, 0], "nullable": [nullable] * 3, "context": ["ab cd ef"] * 2 + ["x  y"],
        "offsets": [[0, 2, 3, 5], [3, 5, 6, 8], [0, 1, 1, 2, 3, 4]], "answers": [answers, answers, ["y"]],
        "language": ["de", "de", "en"]})


@pytest.mark.parametrize(("nullable", "first", "second", "expected"), [
    (0, spans(9, (0, 0, 1.0)), spans(9, (1, 1, 2.0), (0, 1, 1.5)), "ef"),
    (0, spans(9, (0, 1, 3.0)), spans(9, (0, 1, 2.0)), "ab cd"),
    (1, spans(9, (0, 0, 1.0)), spans(1.5, (1, 1, 2.0)), "ef"), (1, spans(9, (0, 0, 1.0)), spans(2.0, (1, 1, 2.0)), ""),
    (0, spans(9), spans(9), ""), (1, spans(np.nan, (0, 0, np.nan)), spans(np.nan), ""),
], ids=["best window", "first window", "some answer", "no answer", "no span", "diverged"])
def test_windows_are_joined(nullable: int, first: Any, second: Any, expected: str) -> None:
    predicted = np.stack([first, second, spans(-9, (1, 1, 5.0), (2, 2, 4.0))])
    texts, answers = join(predicted, np.zeros(3), windows(nullable, ["a", "b"]))
    assert texts.tolist() == [expected, "y"], "a span of white space is no answer"
    assert answers.tolist() == [Answers(("a", "b"), "de"), Answers(("y",), "en")]


def test_predictions_are_a_json_object(root: Path, tmp_path: Path) -> None:
    manifest = open_cell(root / "squad/train/en").manifest
    serialise(np.array(["ja", "\u4e2d \"x\""], dtype=object), Rows(np.array([0, 3]), np.array(["k9", "k1"])), manifest,
              tmp_path / "x.json")
    assert list(json.loads((tmp_path / "x.json").read_text(encoding="utf-8")).items()) == [
        ("k9", "ja"), ("k1", "\u4e2d \"x\"")]


def test_questions_on_one_paragraph_are_resampled_together(root: Path) -> None:
    cell = open_cell(root / "squad/train/en")
    ids = cell.table["id"].to_numpy()[first_windows(cell)]
    assert len(ids) == 18 == cell.manifest.examples
    by_id = {one["id"]: one["context"] for one in reversed(cell.table.to_pylist())}
    groups = groups_of(cell, ids)
    for one, other in itertools.combinations(range(18), 2):
        assert (groups[one] == groups[other]) == (by_id[ids[one]] == by_id[ids[other]])


def test_cells_without_answers_are_not_trained_on(tmp_path: Path) -> None:
    path = write_random_cell(tmp_path, "tydiqa/train/sw", 8, kind="span_qa")
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"has_labels": False}))
    (tmp_path / "r.yaml").write_text("model: {random: tiny}\nschedule: {max_steps: 1}\n"
                                     f"data: {{shards: {tmp_path}, train: [tydiqa/train/sw]}}\n")
    with pytest.raises(InputError, match="no labels in this cell"):
        open_training_data(load_recipe(str(tmp_path / "r.yaml")).data)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_it_or_is_refused(root: Path, tmp_path: Path, method: str) -> None:
    short = {"robust.method": method, "schedule.max_steps": "2", "data.train": "[squad/train/en]", "data.dev": "[]"}
    recipe = write_recipe(tmp_path, root)
    if method == "mixup":
        with pytest.raises(InputError, match=r"only examples with one label can be mixed; .* is of kind span_qa"):
            run(recipe, method, short)
        return
    found = losses_of(run(recipe, method, short))
    assert len(found) == 2
    assert all(1 < loss < 8 for loss in found)
