"""Partners of mixup: drawn over the global batch, the same on any number of ranks, never another row's copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_prep.base.errors import InputError
from data_prep.kinds import KINDS
from data_prep.shards.manifest import Manifest
from data_prep.shards.read import open_cell
from data_prep.shards.write import write_cell
from tests.random_cells import LABELS, TOKENIZER, write_random_cell
from trainer.data import sampler
from trainer.data.loader import Examples
from trainer.data.partners import partner_choice

COPIES = 3


def augmented(root: Path) -> Path:
    """A cell of 20 rows with three copies each, but for copies that were skipped; a row's second word names it."""
    ids = np.array([n for n in range(20 * (COPIES + 1)) if n % 7 != 3 and (n < 12 or n == 15 or n >= 16)])
    texts = [np.array([4 + n % 4, 10 + n // 4], dtype=np.int32) for n in ids]
    draft = Manifest(
        task="xnli", kind="pair", columns=dict(KINDS["pair"].columns),
        labels=LABELS, metric="accuracy", language="en", split="train", parallel=False,
        max_length=24, tokenizer=TOKENIZER, source="made up", data_prep_version="test", copies=COPIES)
    write_cell(root / "xnli/train/en", draft, [{
        "id": ids, "first_ids": texts, "second_ids": texts, "label": ids // (COPIES + 1) % 3,
        "length": np.full(len(ids), 8, dtype=np.int32)}])
    return root / "xnli/train/en"


@pytest.mark.parametrize("world", [1, 2, 4])
def test_partners_come_from_the_global_batch_whatever_the_ranks(tmp_path: Path, world: int) -> None:
    cell = open_cell(write_random_cell(tmp_path, "xnli/train/en", 64))
    examples = Examples([cell], 24)
    choose = partner_choice("batch", [cell], seed=5)

    def pairs(ranks: int, update: int) -> dict[int, int]:
        found: dict[int, int] = {}
        for rank in range(ranks):
            for item in sampler.micro_batches(
                    examples.lengths, 8, 5, True, update, update + 1, rank, ranks, 2, choose):
                batch = examples[item]
                assert batch.partner is not None
                assert batch.partner.input_ids.shape == batch.input_ids.shape
                found |= dict(zip(batch.example_ids.tolist(), batch.partner.example_ids.tolist(), strict=True))
        return found

    whole = pairs(1, 3)
    assert set(whole) == set(whole.values())
    assert sum(key != mate for key, mate in whole.items()) >= 5
    assert pairs(world, 3) == whole
    assert pairs(world, 4) != whole


def test_a_copy_is_mixed_with_each_other_copy_of_its_row_in_turn(tmp_path: Path) -> None:
    cell = open_cell(augmented(tmp_path))
    ids = cell.dataset.data.column("id").to_numpy()
    choose = partner_choice("copy", [cell, cell], seed=5)
    rows = np.concatenate([np.arange(len(ids)), len(ids) + np.arange(len(ids))])
    seen: dict[int, set[int]] = {row: set() for row in rows}
    for update in range(60):
        for row, mate in zip(rows, choose(rows, update), strict=True):
            seen[row].add(int(mate))
    for row, mates in seen.items():
        same = (ids // (COPIES + 1)) == ids[row % len(ids)] // (COPIES + 1)
        others = set(np.flatnonzero(same) + row // len(ids) * len(ids)) - {row}
        assert mates == (others or {row})
    assert {len(mates) for mates in seen.values()} == {1, 2, 3}
    assert any(mates == {row} for row, mates in seen.items()), "a row with a single copy left is its own partner"


def test_cells_without_copies_and_without_labels_of_sentences_are_refused(tmp_path: Path) -> None:
    cell = open_cell(write_random_cell(tmp_path, "xnli/train/en", 9))
    with pytest.raises(InputError, match=r"robust.partner copy.*one copy of each row.*augment"):
        partner_choice("copy", [cell], 0)
    text = open_cell(write_random_cell(tmp_path, "text/train/en", 9, kind="mlm"))
    with pytest.raises(InputError, match=r"only examples with one label can be mixed; .* is of kind mlm"):
        partner_choice("batch", [text], 0)
