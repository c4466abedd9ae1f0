"""Regression and ranking: squared error as transformers computes it, every robust method, evaluation of all rows."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import stats
from transformers import AutoModelForSequenceClassification

from data_prep.shards.read import open_cell
from tests.encoder_sites import inputs_of
from tests.random_cells import write_random_cell
from tests.trainer.small_runs import RANKING, SCORES, run
from trainer.__main__ import main
from trainer.data.loader import Examples
from trainer.kinds import KINDS, ranking
from trainer.kinds.batch import Batch
from trainer.kinds.kind import Rows
from trainer.results.outcomes import read_outcomes
from trainer.results.scores import read_rows
from trainer.robust import METHODS, settings_for

REGRESSION = KINDS["regression"]


def scored(scores: list[float]) -> Batch:
    ids = torch.zeros(len(scores), 1, dtype=torch.int64)
    batch = Batch(ids, ids.bool(), ids, ids.bool(), torch.arange(len(scores)))
    table = pa.table({"score": pa.array(scores, pa.float64())})
    return dataclasses.replace(batch, targets=REGRESSION.targets(table, batch))


def test_missing_scores_cost_nothing() -> None:
    predicted = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    batch = scored([0.5, float("nan"), 5.0])
    found = REGRESSION.losses(predicted, batch)
    assert found.tolist() == [0.25, 0.0, 4.0]
    found.sum().backward()
    assert predicted.grad is not None
    assert predicted.grad.tolist() == [1.0, 0.0, -4.0]
    assert REGRESSION.loss_count(batch) == 2


def test_divergence_both_ways_is_the_squared_difference() -> None:
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([4.0, 1.0])
    normal = [torch.distributions.Normal(one, 1.0) for one in (a, b)]
    assert REGRESSION.divergence(a, b, scored([0, 0])) == torch.distributions.kl_divergence(*normal).sum() == 5.0
    both = REGRESSION.divergence(a, b, scored([0, 0])) + REGRESSION.divergence(b, a, scored([0, 0]))
    assert both == (a - b).square().sum()


def test_mixed_losses_have_the_gradient_of_the_mixed_score() -> None:
    predicted, weight = torch.tensor([3.0, 1.0], requires_grad=True), torch.tensor([0.7, 0.5])
    own, other = scored([5.0, 0.0]), scored([1.0, 2.0])
    mixed = (weight * REGRESSION.losses(predicted, own) + (1 - weight) * REGRESSION.losses(predicted, other)).sum()
    of_mixture = scored((weight * own.targets["scores"] + (1 - weight) * other.targets["scores"]).tolist())
    expected = torch.autograd.grad(REGRESSION.losses(predicted, of_mixture).sum(), predicted)[0]
    torch.testing.assert_close(torch.autograd.grad(mixed, predicted)[0], expected)


def test_predictions_of_any_model_are_finite() -> None:
    found = REGRESSION.decode(torch.tensor([1.5, float("nan"), float("inf"), -3e38]), scored([0] * 4))
    assert found.tolist() == [1.5, 0.0, 1e6, -1e6]


def test_predictions_have_a_line_for_every_row_of_the_source(shards: Path, tmp_path: Path) -> None:
    manifest = open_cell(shards / "stsb/train/en").manifest.model_copy(update={"source_rows": 4})
    assert REGRESSION.serialise is not None
    third = float(np.float32(1 / 3))
    REGRESSION.serialise(np.array([third, -2.0]), Rows(np.array([0, 3]), np.array(["0", "3"])), manifest,
                         tmp_path / "x.tsv")
    lines = (tmp_path / "x.tsv").read_text().split("\n")
    assert lines[1:] == ["-", "-", "-2.0", ""]
    assert np.float32(lines[0]) == np.float32(third)


def test_rows_of_one_query_have_its_number() -> None:
    table = pa.table({"first_ids": pa.array([[5, 6], [7], [5, 6], [5]], pa.list_(pa.int32()))})
    found, _ = ranking.join(np.array([1.0, 2.0, 3.0, 4.0]), np.zeros(4), table)
    assert found["query"].tolist() == [0, 1, 0, 2]
    assert found["score"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_on_scores(recipe: Path, method: str) -> None:
    given = settings_for(method, {"epsilon": "0.5", "ascent_steps": "2", "draws": "1", "ramp_start": "0",
                                  "ramp_end": "0"})
    folder = run(recipe, "run", SCORES | {"schedule.max_steps": "2", "evaluation.every_steps": "2",
                                          **{f"robust.{key}": value for key, value in given.items()}})
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(line["train/loss"]) for line in lines if "train/loss" in line)
    assert (folder / "done.json").is_file()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on scores and on queries, evaluated on labelled and unlabelled cells."""
    from tests.trainer.small_runs import write_cells, write_recipe

    root = tmp_path_factory.mktemp("scores")
    write_cells(root / "shards")
    for task, kind in (("stsb", "regression"), ("wpr", "ranking")):
        write_random_cell(root / "shards", f"{task}/test/de", 30, kind=kind, seed=5)
        write_random_cell(root / "shards", f"{task}/test/sw", 9, kind=kind, seed=6, labelled=False)
    for name, cells in (("stsb", SCORES), ("wpr", RANKING)):
        folder = run(write_recipe(root, root / "shards"), name, cells)
        assert main(["evaluate", str(folder), "--tasks", name]) == 0
    return root


def rows_of(finished: Path, name: str) -> dict[tuple[str, str], Any]:
    rows = read_rows(finished / f"runs/{name}/eval/results.jsonl")
    return {(row.language, row.metric): row for row in rows if row.split == "test" and row.selection == "best"}


def predicted(finished: Path, name: str, language: str = "de") -> np.ndarray:
    return np.loadtxt(finished / f"runs/{name}/eval/predictions/{name}/test-{language}.tsv",
                      dtype=np.float32).astype(np.float64)


def test_scores_are_evaluated_with_scipys_correlations(finished: Path) -> None:
    rows, gold = rows_of(finished, "stsb"), open_cell(finished / "shards/stsb/test/de").table["score"].to_numpy()
    found = predicted(finished, "stsb")
    assert rows["de", "spearman"].value == pytest.approx(stats.spearmanr(found, gold)[0], rel=1e-6)
    assert rows["de", "pearson"].value == pytest.approx(stats.pearsonr(found, gold)[0], rel=1e-6)
    assert rows["sw", "spearman"].note == "no label"
    assert predicted(finished, "stsb", "sw").shape == (9,)
    outcomes = read_outcomes(finished / "runs/stsb/eval/outcomes/stsb/test-de.tsv", smallest=-1e6, largest=1e6)
    np.testing.assert_array_equal(outcomes.counts, np.stack((found, gold), axis=1))


def test_rows_of_a_query_are_evaluated_together(finished: Path) -> None:
    gold = open_cell(finished / "shards/wpr/test/de").table["score"].to_numpy()
    found = predicted(finished, "wpr")
    expected = []
    for query in np.split(np.arange(30), range(4, 30, 4)):  # no two scores are equal
        discounts = 1 / np.log2(2 + np.arange(len(query)))
        ideal = np.sort(gold[query])[::-1] @ discounts
        expected.append(gold[query][np.argsort(-found[query])] @ discounts / ideal)
    assert rows_of(finished, "wpr")["de", "ndcg"].value == pytest.approx(np.mean(expected), rel=1e-6)
    assert rows_of(finished, "wpr")["de", "ndcg"].n == 30


def test_the_exported_model_computes_the_same_loss(finished: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(finished / "runs/stsb/best").eval()
    assert (model.config.problem_type, model.config.num_labels) == ("regression", 1)
    batch = Examples([open_cell(finished / "shards/stsb/test/de")], 24)[0, np.arange(30)]
    with torch.no_grad():
        output = model(**inputs_of(model, batch), labels=batch.targets["scores"])
    expected = REGRESSION.losses(output.logits[:, 0], batch).mean()
    torch.testing.assert_close(output.loss, expected)
    np.testing.assert_allclose(output.logits[:, 0], predicted(finished, "stsb"), atol=1e-5)


def test_a_classifier_after_scores_is_a_classifier(finished: Path) -> None:
    folder = run(finished / "small.yaml", "after", {"model.random": "null", "model.name": str(
        finished / "runs/stsb/best"), "schedule.max_steps": "1"})
    assert json.loads((folder / "best/config.json").read_text()).get("problem_type") is None


def test_scores_are_in_the_report(finished: Path, tmp_path: Path) -> None:
    assert main(["report", str(finished / "runs/stsb"), str(finished / "runs/wpr"), "--out", str(tmp_path / "r")]) == 0
    text = (tmp_path / "r/report.md").read_text()
    value = rows_of(finished, "stsb")["de", "spearman"].value
    assert "spearman (× 100)" in text
    assert f"{100 * value:.1f}".replace("-", "−") in text or f"{100 * value:.1f}" in text
