"""Cells of a run: opened only if they fit together, indexed as one, shared out over ranks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from data_prep.base.errors import InputError
from data_prep.shards.read import open_cell
from tests.random_cells import write_random_cell
from trainer.config.schema import DataSection
from trainer.data.loader import CELL_SHIFT, Examples, evaluation_batches, open_training_data, training_batches
from trainer.kinds.languages import language_number


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("loader")
    for name, changes in {
        "xnli/test/en": {"rows": 5},
        "xnli/train/en": {"rows": 30}, "mnli/train/en": {"rows": 17, "seed": 5}, "xnli/dev/en": {"rows": 23},
        "xnli/dev/de": {"rows": 23}, "xnli/unseen/en": {"rows": 5, "labelled": False}, "mnli/dev/en": {"rows": 5},
        "snli/train/en": {"rows": 5},
        "text/train/en": {"rows": 9, "kind": "mlm"}, "xnli/other/en": {"rows": 9, "kind": "mlm"},
        "sick/dev/en": {"rows": 9, "fingerprint": "1" * 64},
    }.items():
        write_random_cell(root, name, **changes)  # type: ignore[arg-type]
    return root


def section(root: Path, train: str = "xnli/train/en", dev: str = "", **changes: object) -> DataSection:
    return DataSection(shards=str(root), train=train.split(","), dev=dev.split(",") if dev else [], **changes)


def test_several_cells_are_one_index(root: Path) -> None:
    cells = [open_cell(root / "xnli/train/en"), open_cell(root / "mnli/train/en")]
    examples = Examples(cells, 24)
    assert len(examples) == 47
    mixed = np.array([46, 0, 29, 30])
    batch = examples[0, mixed]
    for place, (cell, row) in enumerate([(1, 16), (0, 0), (0, 29), (1, 0)]):
        source = cells[cell].dataset[row]
        length = int(batch.attention_mask[place].sum())
        assert length == source["length"] == examples.lengths[mixed[place]]
        ids = [0, *source["first_ids"], 2, 2, *source["second_ids"], 2]
        assert batch.input_ids[place, :length].tolist() == ids
        assert int(batch.targets["labels"][place]) == source["label"]
        assert int(batch.example_ids[place]) == (cell << CELL_SHIFT) + source["id"]
    everything = examples[0, np.arange(47)].example_ids
    assert len(everything.unique()) == 47


def test_the_language_of_every_token_is_its_cells(root: Path) -> None:
    batch = Examples([open_cell(root / f"xnli/dev/{code}") for code in ("en", "de")], 24)[0, np.array([22, 40, 23, 3])]
    assert batch.languages is not None
    numbers = torch.tensor([language_number(code) for code in ("en", "de", "de", "en")])
    assert torch.equal(batch.languages, numbers[:, None] * batch.attention_mask)


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_evaluation_covers_each_row_once_with_equal_counts(root: Path, world: int) -> None:
    examples = Examples([open_cell(root / "xnli/dev/en")], 24)
    per_rank = [list(evaluation_batches(examples, 4, rank, world)) for rank in range(world)]
    assert len({len(batches) for batches in per_rank}) == 1
    rows = np.concatenate([rows for batches in per_rank for rows, _ in batches])
    assert sorted(rows) == list(range(23))
    for batches in per_rank:
        for rows, batch in batches:
            assert len(batch.input_ids)  # even a rank with nothing left takes part in the forward pass
            if len(rows):
                assert batch.example_ids.tolist() == examples[0, rows].example_ids.tolist()


def test_loader_processes_change_nothing(root: Path) -> None:
    examples = Examples([open_cell(root / "xnli/train/en")], 24)

    def batches(workers: int, first: int = 0) -> list[torch.Tensor]:
        found = training_batches(examples, section(root, workers=workers), 8, 3, first, 6, 0, 1, 2)
        return [micro.input_ids for update in found for micro in update]

    for one, other in zip(batches(0), batches(1), strict=True):
        assert torch.equal(one, other)
    for one, other in zip(batches(0)[8:], batches(0, first=4), strict=True):
        assert torch.equal(one, other)


def test_dev_cells_by_pattern_and_the_english_one_selects(root: Path) -> None:
    data = open_training_data(section(root, dev="xnli/dev/*"))
    assert list(data.dev) == ["xnli/dev/de", "xnli/dev/en"]
    assert data.select_on == "xnli/dev/en"
    assert data.max_length == 24
    assert open_training_data(section(root, dev="xnli/dev/de")).select_on == "xnli/dev/de"
    assert open_training_data(section(root)).select_on is None
    assert open_training_data(section(root, dev="mnli/dev/en,xnli/dev/en")).select_on == "xnli/dev/en"
    assert list(open_training_data(section(root, dev="xnli/dev/en,xnli/dev/*")).dev) == ["xnli/dev/en", "xnli/dev/de"]


@pytest.mark.parametrize(("changes", "message"), [
    ({"train": "xnli/train/fr"}, "data.train: no cell xnli/train/fr below .* with --data.shards"),
    ({"train": "xnli/train"}, "data.train: expected task/split/language, found 'xnli/train'"),
    ({"train": "../train/en"}, "data.train: expected task/split/language"),
    ({"train": "*/nothing/*"}, "data.train: no finished cell below .* matches"),
    ({"train": "xnli/train/en,xnli/other/en"}, r"xnli/other/en: kind mlm, but the first training cell has pair"),
    ({"dev": "sick/dev/en"}, "sick/dev/en was built with another tokenizer"),
    ({"dev": "xnli/unseen/en"}, "xnli/unseen/en: no labels in this cell"),
        ({"dev": "xnli/test/en"}, "data.dev: xnli/test/en is a test cell"),
    ({"dev": "xnli/dev/en", "select_on": "xnli/dev/de"}, "data.select_on 'xnli/dev/de' is not among data.dev"),
    ({"train": "snli/train/en", "dev": "xnli/dev/en,mnli/dev/en"}, "data.select_on: name the dev cell.*0 of task snli"),
    ({"max_length": 128}, "data.max_length 128, but .* was built with max_length 24"),
])
def test_cells_that_do_not_fit_are_refused(root: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        open_training_data(section(root, **changes))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("changes", "message"), [
    ({"kind": "parsing"}, "kind 'parsing' is not known to this trainer; known: pair, mlm"),
    ({"metric": "bleu"}, "metric 'bleu' is none of kind mlm; its metrics: perplexity"),
    ({"further_metrics": ["accuracy"]}, "metric 'accuracy' is none of kind mlm; its metrics: perplexity"),
    ({"kind": "pair"}, "metric 'perplexity' is none of kind pair; its metrics: accuracy, f1"),
    ({"kind": "pair", "metric": "accuracy"}, "kind pair without the columns label"),
])
def test_kinds_and_metrics_that_the_trainer_does_not_know(
    root: Path, tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    shutil.copytree(root / "text", tmp_path / "text")
    file = tmp_path / "text/train/en/manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(InputError, match=message):
        open_training_data(section(tmp_path, train="text/train/en"))
