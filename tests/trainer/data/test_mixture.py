"""Mixtures: shares of tasks, their draw, the order of micro-batches, and settings that are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from data_prep.base.errors import InputError
from tests.random_cells import write_random_cell
from trainer.config.schema import BatchSection, DataSection, MixtureSection
from trainer.data import mixture
from trainer.data.loader import TrainingData, open_training_data
from trainer.data.mixture import Mixture
from trainer.data.tasks import group, nearest

ROWS = {"mnli": 1000, "stsb": 50, "udpos": 200}
STEPS = 20_000
RULES: list[tuple[dict[str, Any], list[float]]] = [
    ({}, [1000 / 1250, 50 / 1250, 200 / 1250]),
    ({"sampling": "uniform"}, [1 / 3, 1 / 3, 1 / 3]),
    ({"sampling": "temperature", "temperature": 2.0},
     [n**0.5 / (1000**0.5 + 50**0.5 + 200**0.5) for n in (1000, 50, 200)]),
    ({"sampling": "capped", "cap": 100}, [100 / 250, 50 / 250, 100 / 250]),
    ({"sampling": "temperature", "temperature": 2.0, "cap": 100},
     [10 / (20 + 50**0.5), 50**0.5 / (20 + 50**0.5), 10 / (20 + 50**0.5)]),
    ({"sampling": "weights", "weights": {"udpos": 1.0, "mnli": 2.0, "stsb": 5.0}}, [2 / 8, 5 / 8, 1 / 8]),
]


@pytest.mark.parametrize(("given", "expected"), RULES, ids=lambda value: str(value)[:40])
def test_shares_follow_the_formula_and_the_draw_the_shares(given: dict[str, Any], expected: list[float]) -> None:
    shares = mixture.shares(MixtureSection(**given), ROWS)
    assert shares == pytest.approx(expected)
    counts = Mixture(tuple(ROWS), shares, 2, 11).drawn(STEPS)
    assert counts.sum() == 2 * STEPS
    for count, share in zip(counts.tolist(), expected, strict=True):
        low, high = stats.binom.interval(0.9999, 2 * STEPS, share)
        assert low <= count <= high


def test_draws_are_a_function_of_seed_step_and_part(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Mixture(("a", "b"), np.array([0.5, 0.5]), 3, 7)
    whole = one.draw(0, 200)
    assert np.array_equal(one.draw(150, 200), whole[150:])
    counts = np.bincount(whole[:150].ravel(), minlength=2)
    monkeypatch.setattr(mixture, "BLOCK", 7)
    assert np.array_equal(one.drawn(150), counts)
    assert not np.array_equal(Mixture(("a", "b"), np.array([0.5, 0.5]), 3, 8).draw(0, 200), whole)
    together = np.corrcoef(whole.T)[np.triu_indices(3, 1)]
    assert np.abs(together).max() < 0.25  # parts of a step are drawn apart


def order(first: int, last: int, rank: int, world: int, accumulation: int) -> Iterator[tuple[int, Any]]:
    """Micro-batches of parts of 8 examples, of two tasks of 24 and 40."""
    lengths = [np.random.default_rng(n).integers(3, 20, rows) for n, rows in enumerate((24, 40))]
    draw = Mixture(("a", "b"), np.array([0.4, 0.6]), 2, 5)
    return mixture.micro_batches(draw, lengths, 8, True, first, last, rank, world, accumulation, [None, None])


def test_parts_do_not_depend_on_ranks_accumulation_or_resume() -> None:
    def parts(world: int, accumulation: int, first: int = 0) -> list[tuple[int, int, list[int]]]:
        found = []
        of_ranks = [list(order(first, 30, rank, world, accumulation)) for rank in range(world)]
        for start in range(0, len(of_ranks[0]), accumulation):
            micro = [of_rank[start + step] for step in range(accumulation) for of_rank in of_ranks]
            assert len({(task, epoch) for task, (epoch, *_) in micro}) == 1, "a part is of one task"
            task, (epoch, *_) = micro[0]
            found.append((task, epoch, np.concatenate([rows for _, (_, rows) in micro]).tolist()))
        return found

    alone = parts(1, 1)
    assert parts(2, 2) == alone == parts(1, 4)
    assert parts(2, 1, first=11) == alone[22:]
    for task, rows in ((0, 24), (1, 40)):  # a task passes all its rows before it begins anew
        of_task = [part for part in alone if part[0] == task]
        epochs = [epoch for _, epoch, _ in of_task]
        assert epochs == [at // (rows // 8) for at in range(len(epochs))]
        assert sorted(row for _, epoch, part in of_task if epoch == 0 for row in part) == list(range(rows))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shards")
    for name, kind, rows in (("mnli/train/en", "pair", 30), ("mnli+synonyms/train/en", "pair", 20),
                             ("xnli/dev/en", "pair", 9), ("anli/train/en", "pair", 12),
                             ("stsb/train/en", "regression", 24), ("stsb+odd/train/en", "pair", 9),
                             ("udpos/dev/en", "tagging", 9)):
        write_random_cell(root, name, rows, kind=kind)
    return root


def data(root: Path, train: str, dev: str = "", same: dict[str, str] | None = None, **given: Any) -> TrainingData:
    section = DataSection(shards=str(root), train=train.split(","), dev=dev.split(",") if dev else [])
    given = given or {"sampling": "proportional"}
    return open_training_data(section, MixtureSection(**given, same_task=same or {}))


def test_without_settings_of_a_mixture_cells_that_agree_are_one_task(root: Path) -> None:
    section = {"shards": str(root), "dev": ["xnli/dev/en"]}
    found = open_training_data(DataSection(**section, train=["anli/train/en", "mnli/train/en"]))
    assert list(found.tasks) == ["anli"]
    assert (found.dev_task, found.name_in_batches("anli")) == ({"xnli/dev/en": "anli"}, "")
    cells = ["mnli+synonyms/train/en", "stsb/train/en", "anli/train/en", "mnli/train/en"]
    found = open_training_data(DataSection(**section, train=cells, select_on="xnli/dev/en"))
    assert {task: [cell.path.parts[-3] for cell in own] for task, own in found.tasks.items()} == {
        "mnli": ["mnli+synonyms", "anli", "mnli"], "stsb": ["stsb"]}


def test_tasks_are_the_first_parts_of_paths(root: Path) -> None:
    found = data(root, "stsb+odd/train/en,mnli+synonyms/train/en,stsb/train/en,mnli/train/en", "xnli/dev/en")
    assert {task: [cell.path.parts[-3] for cell in cells] for task, cells in found.tasks.items()} == {
        "stsb+odd": ["stsb+odd"], "mnli": ["mnli+synonyms", "mnli"], "stsb": ["stsb"]}
    assert found.dev_task == {"xnli/dev/en": "stsb+odd"}, "the first whose kind and labels are the cell's"
    assert found.manifest.task == "stsb+odd"
    assert list(data(root, "mnli/train/en,anli/train/en").tasks) == ["mnli", "anli"]
    assert list(data(root, "mnli/train/en,anli/train/en", same={"anli": "mnli"}).tasks) == ["mnli"]
    with pytest.raises(InputError, match=r"udpos/dev/en: kind tagging, and no task of the mixture has its kind"):
        data(root, "mnli/train/en,stsb/train/en", "udpos/dev/en")
    with pytest.raises(InputError, match=r"mixture.same_task: no training cell of task 'amli'; did you mean 'mnli'"):
        data(root, "mnli/train/en,anli/train/en", same={"anli": "amli"})
    with pytest.raises(InputError, match="stsb/train/en: kind regression, but the first training cell has pair"):
        data(root, "mnli/train/en,stsb/train/en", same={"stsb": "mnli"})


@pytest.mark.parametrize(("given", "train", "message"), [
    ({"sampling": "uniform"}, "mnli/train/en", "mixture.sampling is for several tasks, data.train has cells of one, m"),
    ({"loss_weights": {"mnli": 2}}, "mnli/train/en", "mixture.loss_weights is for several tasks"),
    ({"loss_weights": {"mnl": 2}}, "mnli/train/en,stsb/train/en",
     "no training cell of task 'mnl'; did you mean 'mnli'"),
    ({"sampling": "weights", "weights": {"mnli": 2}}, "mnli/train/en,stsb/train/en",
     "mixture.weights: none for task stsb"),
    ({"tasks_per_step": 3}, "mnli/train/en,stsb/train/en", "tasks_per_step 3 does not divide batch.size 32"),
    ({}, "mnli/train/en,stsb/train/en", "task mnli hold 30 rows, fewer than a part of a step .32 of batch.size 32"),
])
def test_settings_that_fit_no_task_are_refused(root: Path, given: dict[str, Any], train: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mixture.mixture_of(MixtureSection(**given), BatchSection(), data(root, train).tasks, 0)


@pytest.mark.parametrize(("given", "message"), [
    ({"temperature": 2}, "mixture.temperature has no effect with mixture.sampling proportional; remove it, or set"),
    ({"cap": 5, "sampling": "uniform"}, "mixture.cap has no effect with mixture.sampling uniform"),
    ({"weights": {"a": 1}}, "mixture.weights has no effect"),
    ({"sampling": "temperature"}, "mixture.sampling temperature needs mixture.temperature"),
    ({"sampling": "weights", "weights": {"a": 0}}, "greater than 0"),
])
def test_settings_without_effect_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MixtureSection(**given)


def test_an_unknown_task_is_answered_with_the_nearest() -> None:
    assert nearest("udpo", ["udpos", "mnli"]) == "did you mean 'udpos'?"
    assert nearest("zzz", ["udpos", "mnli"]) == "tasks: udpos, mnli"
    assert group([SimpleNamespace(path=Path("a/b/c"))], {}, by_name=True).keys() == {"a"}  # type: ignore[list-item]
