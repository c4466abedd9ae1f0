"""The smallest perturbation found against a model whose smallest one is known, and against the model itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from data_prep.shards.read import Cell, open_cell
from tests.random_cells import LABELS, write_random_cell
from tests.trainer.predict.own_runs import NLI, TAGS, model_of, tokenizer
from trainer import TaskModel
from trainer.data.loader import Examples
from trainer.kinds import KINDS
from trainer.kinds.batch import Batch
from trainer.predict import perturbation
from trainer.predict.perturbation import LADDER, smallest_turns
from trainer.robust.settings import BallSettings

WIDTH, UNIT = 8, 3.0


class Linear(nn.Module):
    """Class scores that are sums over content tokens of linear functions of their vectors, plus a bias."""

    def __init__(self, bias: list[float]) -> None:
        super().__init__()
        self.model = SimpleNamespace(training=False)
        draw = torch.Generator().manual_seed(0)
        self.table = torch.randn(60, WIDTH, generator=draw)
        self.weights = torch.randn(3, WIDTH, generator=draw)
        self.bias = torch.tensor(bias)
        self.asked = 0

    def of(self, batch: Batch) -> tuple[Any, Any]:
        return self.model, KINDS["pair"]

    def forward(self, batch: Batch, delta: Tensor | None = None, x: Tensor | None = None,
                only_below: bool = False) -> Tensor:
        x = self.table[batch.input_ids] if x is None else x
        if only_below:
            return x
        self.asked += 1
        return torch.where(batch.content_mask[..., None], x + (0 if delta is None else delta), 0.0).sum(1) \
            @ self.weights.T + self.bias


def smallest_of(model: Linear, batch: Batch, norm: str, scope: str) -> list[float]:
    """Smallest radius that turns each decision: margin over what a unit radius changes of it, for the nearest class."""
    scores, found = model(batch), []
    for row, best in enumerate(scores.argmax(dim=1).tolist()):
        tokens, radii = int(batch.content_mask[row].sum()), []
        for other in {0, 1, 2} - {best}:
            way = model.weights[other] - model.weights[best]
            gain = {("l2", "token"): tokens * way.norm(), ("l2", "sequence"): tokens**0.5 * way.norm()}.get(
                (norm, scope), tokens * way.abs().sum())
            radii.append(float((scores[row, best] - scores[row, other]) / gain))
        found.append(min(radii))
    return found


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    return open_cell(write_random_cell(tmp_path_factory.mktemp("cells"), "xnli/test/en", 9, labelled=False))


@pytest.mark.parametrize(("norm", "scope"), [("l2", "token"), ("l2", "sequence"), ("linf", "token")])
def test_the_smallest_perturbation_of_a_linear_model_is_found(norm: str, scope: str, cell: Cell) -> None:
    model, ball = Linear([0.0, 0.0, -1e9]), BallSettings(method="plain", norm=norm, scope=scope)  # two classes
    found = smallest_turns(model, cell, 24, ball, UNIT, 4, 4, torch.device("cpu"))
    expected = smallest_of(model, Examples([cell], 24)[0, np.arange(9)], norm, scope)
    for number, radius in enumerate(expected):
        turn = found[number]
        assert turn is not None
        # never below, and above by no more than the last halving and the rounding of a step
        assert radius * (1 - 1e-4) <= turn.length <= radius * (1 + 2.0 / 64) + UNIT * LADDER[0] / 64
        assert turn.epsilon == pytest.approx(turn.length / UNIT)
        assert turn.to in LABELS[:2]


def test_a_decision_that_no_radius_turns_is_told_apart(cell: Cell) -> None:
    model = Linear([1e6, 0.0, 0.0])
    ball = BallSettings(method="plain")
    assert set(smallest_turns(model, cell, 24, ball, UNIT, 2, 4, torch.device("cpu")).values()) == {None}
    assert model.asked == 3 + len(LADDER) * 3 * 3  # decisions; then per batch and radius: two steps and a look


def test_what_is_found_turns_the_real_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Perturbations at a layer, by windows and words too: each was seen to turn the decision at its norm."""
    seen: list[tuple[Tensor, ...]] = []
    attack = perturbation._Attack.__call__

    def watched(self: perturbation._Attack, radius_E: Tensor) -> Any:
        found = attack(self, radius_E)
        seen.append((radius_E, *found[:2]))
        return found

    monkeypatch.setattr(perturbation._Attack, "__call__", watched)
    ball = BallSettings(method="plain", site="layer:1")
    model = TaskModel(model_of("pair", NLI), tokenizer(), labels=NLI, max_length=32, ball=ball)
    rows = [{"text": "a man sleeps", "text_pair": "nobody is awake"}, {"text": "the dog runs", "text_pair": "a cat"}]
    before = [one.value for one in model.predict(rows)]
    turns = model.smallest_perturbations(rows, steps=4)
    for number, (turn, value) in enumerate(zip(turns, before, strict=True)):
        assert turn is not None
        assert turn.to != value
        tried = [(float(norm[number]), bool(turned[number])) for _, turned, norm in seen]
        assert turn.length == pytest.approx(min(norm for norm, turned in tried if turned))
    assert all((norm <= radius * (1 + 1e-5)).all() for radius, _, norm in seen)
    tagger = TaskModel(model_of("tagging", TAGS), tokenizer(), kind="tagging", labels=TAGS, max_length=16)
    tagged = [{"text": "a man sees"}, {"words": ["dog", "cat"] * 12}]
    for turn, one in zip(tagger.smallest_perturbations(tagged, steps=4), tagger.predict(tagged), strict=True):
        assert turn is not None
        assert len(turn.to) == len(one.value)
        assert turn.to != one.value
    assert not model.model.training
    assert all(parameter.grad is None for parameter in model.model.parameters())
