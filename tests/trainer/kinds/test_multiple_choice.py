"""Multiple choice: examples with different numbers of choices, every method, a run from training to an export."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor
from torch.nn import functional

from data_prep.base.errors import InputError
from data_prep.shards.read import open_cell
from tests import oracle
from tests.random_cells import write_random_cell
from tests.trainer.engine.test_step_context import PlainEngine, settings_of
from tests.trainer.small_runs import losses_of, run, write_recipe
from trainer.checkpoint.export import export
from trainer.config import load_recipe
from trainer.data.loader import CELL_SHIFT, PART_SHIFT, Examples, open_training_data
from trainer.distributed.ranks import find_ranks
from trainer.engine.step_context import StepContext
from trainer.evaluate.inputs import load_best
from trainer.evaluate.predict import predict
from trainer.evaluate.run import evaluate
from trainer.kernels import reference
from trainer.kinds import KINDS
from trainer.kinds.batch import Batch
from trainer.model.build import build_model
from trainer.model.site import SiteModel
from trainer.monitor.meter import Meter
from trainer.monitor.step_reduction import StepReduction, StepResult
from trainer.results.predictions import read_predictions
from trainer.robust import METHODS
from trainer.runs.record import read_finished

KIND = KINDS["multiple_choice"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("choices")
    for name, rows in (("xcopa/train/en", 24), ("xcopa/dev/en", 10), ("xcopa/test/qu", 9)):
        write_random_cell(folder / "shards", name, rows, kind="multiple_choice", seed=rows)
    write_random_cell(folder / "shards", "xcopa/train/de", 4, kind="multiple_choice", labelled=False)
    return folder


@pytest.fixture(scope="module")
def examples(root: Path) -> Examples:
    return Examples([open_cell(root / "shards/xcopa/train/en")], 24)


@pytest.fixture
def recipe(root: Path, tmp_path: Path) -> Path:
    path = write_recipe(tmp_path, root / "shards")
    path.write_text(path.read_text(encoding="utf-8").replace("xnli", "xcopa"), encoding="utf-8")
    return path


def model_of(recipe: Path, site: str = "word_embeddings") -> SiteModel:
    loaded = load_recipe(str(recipe))
    model, _ = build_model(loaded, open_training_data(loaded.data).manifest, 24)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return SiteModel(model.double(), KIND, site).eval()


def test_inputs_of_a_batch_are_the_choices_of_its_rows(examples: Examples) -> None:
    rows = examples.cells[0].dataset.select([3, 1]).to_list()
    batch = examples[0, np.array([3, 1])]
    counts = [len(row["ends"]) for row in rows]
    assert counts == [2, 3]
    assert batch.targets["labels"].tolist() == [row["label"] for row in rows]
    assert batch.targets["inputs"].tolist() == [[0, 1, -1], [2, 3, 4]]
    assert batch.targets["examples"].tolist() == [0, 0, 1, 1, 1]
    parts = [(row["id"], part) for row, n in zip(rows, counts, strict=True) for part in range(n)]
    assert batch.example_ids.tolist() == [row + (part << PART_SHIFT) for row, part in parts]
    for place, (row, part) in enumerate((row, part) for row, n in zip(rows, counts, strict=True) for part in range(n)):
        choice = row["second_ids"][([0, *row["ends"]])[part] : row["ends"][part]]
        assert batch.input_ids[place, batch.attention_mask[place]].tolist() == [
            0, *row["first_ids"], 2, 2, *choice, 2]


def test_a_batch_equals_its_examples_one_by_one(recipe: Path, examples: Examples) -> None:
    """Logits, losses, divergences, gradients at the inputs; examples of 2, 3 and 4 choices, and of no label."""
    model, indices = model_of(recipe).requires_grad_(False), np.arange(7)
    batch = examples[0, indices]
    labels = batch.targets["labels"].clone()
    labels[2] = -1
    batch = replace(batch, targets=batch.targets | {"labels": labels})
    delta = 0.1 * torch.randn(*batch.input_ids.shape, 64, dtype=torch.float64)
    logits, other = model(batch), model(batch, delta)
    losses, begin, divergence = KIND.losses(logits, batch), 0, 0.0
    assert int(KIND.loss_count(batch)) == 6
    for number in indices:
        one = examples[0, indices[number : number + 1]]
        size, length = one.input_ids.shape
        alone = model(one)
        torch.testing.assert_close(logits[number, :size], alone[0], rtol=1e-9, atol=1e-9)
        moved = model(one, delta[begin : begin + size, :length])[0]
        p, q = alone[0].softmax(-1), moved.softmax(-1)
        divergence += float((p * (p / q).log()).sum())
        expected = 0.0 if number == 2 else float(functional.cross_entropy(alone, one.targets["labels"]))
        shares = losses[begin : begin + size]
        assert shares.unique().numel() == 1, "restarts of an ascent must choose alike for all choices"
        assert float(shares.sum()) == pytest.approx(expected, rel=1e-6)
        assert KIND.decode(logits, batch)[number] == alone.argmax()
        begin += size
    assert float(KIND.divergence(logits, other, batch)) == pytest.approx(divergence, rel=1e-5)
    assert begin == len(losses) == len(batch.input_ids)
    assert KIND.gold(batch).tolist() == labels.tolist()


def test_absent_choices_have_no_probability_and_give_no_nan(examples: Examples) -> None:
    batch = examples[0, np.arange(3)]
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        scores = torch.randn(len(batch.input_ids), 1, dtype=dtype, requires_grad=True)
        logits = KIND.logits(lambda hidden, scores=scores: scores, torch.empty(0), batch)
        assert logits.dtype == dtype
        assert (logits.float().softmax(-1)[batch.targets["inputs"] == -1] == 0).all()
        total = KIND.divergence(logits, logits.detach() + 1, batch) + KIND.losses(logits, batch).sum()
        total.backward()
        assert scores.grad is not None
        assert torch.isfinite(scores.grad).all()
        assert scores.grad.abs().sum() > 0


def test_examples_are_counted_and_named_once(examples: Examples) -> None:
    batch, meter = examples[0, np.arange(5)], Meter()
    meter.add_batch(batch)
    assert (meter.examples, len(batch.input_ids)) == (5, 14)
    result = StepResult([(1.0, 1.0)], [batch.example_ids], 0.1, True)
    assert StepReduction(0, result, find_ranks(), torch.device("cpu")).example_ids() == [
        batch.example_ids[batch.example_ids >> PART_SHIFT == 0].tolist()]
    of_another_cell = Batch(*[batch.input_ids] * 4, batch.example_ids + (3 << CELL_SHIFT))
    assert of_another_cell.rows == 5


class WithAverage(PlainEngine):
    """With a running average of the weights that is one per cent larger than they are."""

    def average(self) -> dict[str, Tensor]:
        return {name: 1.01 * value.detach() for name, value in self.module.model.state_dict().items()}

    def average_logits(self, batch: Batch) -> Tensor:
        average = {f"model.{name}": value for name, value in self.average().items()}
        with torch.no_grad():
            logits: Tensor = torch.func.functional_call(self.module, average, (batch,))
        return logits


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"mixup"}))
def test_gradients_of_every_method_equal_the_plain_loop_in_fp64(
    recipe: Path, examples: Examples, monkeypatch: pytest.MonkeyPatch, method: str,
) -> None:
    """Exact where fp32 is not: directions of ascent rest on gradients that nearly cancel. The noise is the engine's."""
    more = {"restarts": 2, "start": "uniform"} if method == "pgd" else {}
    settings, site = settings_of(method, **more), model_of(recipe)
    batch = examples[0, np.arange(6)]
    engine: Any = WithAverage(site, 1.0)
    ctx = StepContext(engine, reference, settings, batch, epsilon=0.3, seed=0, step=0, global_weight=6,
                      ends_step=True)
    METHODS[method].step(ctx)
    found = {name: parameter.grad for name, parameter in site.model.named_parameters() if parameter.grad is not None}
    site.zero_grad()
    monkeypatch.setattr(oracle.Step, "noise", lambda self, kind, draw=0, radius=None: (
        ctx.noise(kind, draw) * ((radius or 0.3) / 0.3)))
    monkeypatch.setattr(oracle.Step, "zero", lambda self: torch.zeros_like(ctx.site()[0]))
    recipe_of: Any = SimpleNamespace(robust=settings)
    plain = oracle.Step(site.model, batch, recipe_of, 0.3, 0)
    plain.average = engine.average()
    oracle.METHODS[method](plain).backward()
    expected = {name: parameter.grad for name, parameter in site.model.named_parameters() if parameter.grad is not None}
    assert found.keys() == expected.keys()
    error = 1e-6 if method == "freelb" else 1e-10  # freelb keeps gradients at the site in fp32
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=error, atol=error, msg=name)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_or_refuses(recipe: Path, method: str) -> None:
    settings = {"robust.method": method, "schedule.max_steps": "2", "data.dev": "[]"}
    if method == "pgd":
        settings |= {"robust.epsilon": "1.0", "robust.restarts": "2", "robust.start": "uniform"}
    elif method not in ("plain", "mixup"):
        settings |= {"robust.epsilon": "1.0"}
    if method == "mixup":
        with pytest.raises(InputError, match=r"only examples with one label can be mixed; .* kind multiple_choice"):
            run(recipe, method, settings)
        return
    losses = losses_of(run(recipe, method, settings))
    assert len(losses) == 2
    assert np.isfinite(losses).all()


def test_rows_without_a_label_are_not_trained_on(recipe: Path) -> None:
    with pytest.raises(InputError, match="train/de: no labels in this cell"):
        run(recipe, "unlabelled", {"data.train": "[xcopa/train/de]"})


def test_a_run_is_evaluated_and_its_export_opens_in_transformers(root: Path, recipe: Path, tmp_path: Path) -> None:
    folder = run(recipe, "run", {"schedule.max_steps": "4"})
    assert evaluate(str(folder), tasks="xcopa", splits="test") == 0
    lines = read_predictions(folder / "eval/predictions/xcopa/test-qu.tsv")
    rows = open_cell(root / "shards/xcopa/test/qu").dataset.to_list()
    results = [json.loads(line) for line in (folder / "eval/results.jsonl").read_text(encoding="utf-8").splitlines()]
    (value,) = [row["value"] for row in results if row["split"] == "test"]
    assert value == pytest.approx(np.mean([int(line) == row["label"] for line, row in zip(lines, rows, strict=True)]))
    assert export(str(folder), out=str(tmp_path / "out")) == 0
    ours, _ = load_best(folder, read_finished(folder), "fp32", ["en"])
    model = transformers.AutoModelForMultipleChoice.from_pretrained(tmp_path / "out").eval()
    examples = Examples([open_cell(root / "shards/xcopa/test/qu")], 24)
    for number in range(len(rows)):
        one = examples[0, np.array([number])]
        with torch.no_grad():
            logits = model(input_ids=one.input_ids[None], attention_mask=one.attention_mask[None].long()).logits
            torch.testing.assert_close(ours.eval()(one), logits)
        assert int(logits.argmax()) == int(lines[number])


def test_init_from_takes_the_encoder_between_a_classifier_and_choices(root: Path, recipe: Path) -> None:
    write_random_cell(root / "shards", "xnli/train/en", 16)
    short = {"schedule.max_steps": "2", "data.dev": "[]"}
    classes = run(recipe, "classes", short | {"data.train": "[xnli/train/en]"})
    short |= {"model.random": "null", "optimizer.lr": "1e-12"}
    choices = run(recipe, "choices", short | {"init_from": str(classes)})
    back = run(recipe, "back", short | {"init_from": str(choices), "data.train": "[xnli/train/en]"})
    first, second, third = (transformers.AutoModel.from_pretrained(one / "best", add_pooling_layer=False).state_dict()
                            for one in (classes, choices, back))
    for name, weight in first.items():
        torch.testing.assert_close(second[name], weight, rtol=0, atol=1e-6)
        torch.testing.assert_close(third[name], weight, rtol=0, atol=1e-6)


def test_predictions_are_one_per_example(recipe: Path, examples: Examples) -> None:
    found = predict(model_of(recipe), examples, 5, torch.device("cpu"), find_ranks())
    assert len(found.predicted) == len(found.gold) == len(examples)
    assert found.gold.tolist() == examples.cells[0].table["label"].to_pylist()
