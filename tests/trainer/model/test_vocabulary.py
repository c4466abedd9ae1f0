"""Vocabulary trimming: the same model as from the whole table, at every stage and after a resume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from data_prep.base.errors import InputError
from tests.random_cells import VOCABULARY
from tests.trainer.small_runs import TEXT, ZERO3, killed_at, run, weights_of, write_cells, write_recipe
from trainer.checkpoint.snapshots import snapshots_of
from trainer.model.encoders import FAMILIES
from trainer.model.vocabulary import TrimmedEmbedding, trim_vocabulary

USED = 45
WORDS = "roberta.embeddings.word_embeddings.weight"
# The decay is large enough to be seen in ten updates, SGD's steps are no signs of rounding errors.
SETTINGS = {"model.dropout": "0", "optimizer.weight_decay": "2.0", "optimizer.eps": "0.001", "optimizer.lr": "0.01"}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("vocabulary")
    write_cells(root / "shards", used=USED)
    return write_recipe(root / "work", root / "shards")


@pytest.mark.parametrize("settings", [
    {}, {"optimizer.name": "sgd"}, {"engine.config": "zero1"}, {"engine.config": "zero2"}, ZERO3,
    {"robust.method": "pgd", "robust.epsilon": "0.5", "data.dev": "[xnli/dev/*]", "data.select_on": "xnli/dev/en"},
    {"robust.method": "smart", "robust.bregman_weight": "1.0"}, {"model.freeze_word_embeddings": "true"},
    {"data.train": "[xnli/train/en, udpos/train/en]", "mixture.sampling": "uniform"},
], ids=["adamw", "sgd", "zero1", "zero2", "zero3", "pgd", "smart", "frozen", "mixture"])
def test_the_saved_models_are_those_of_the_whole_table(
    recipe: Path, settings: dict[str, str], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    settings = SETTINGS | {"checkpoint.snapshots": "2"} | settings
    trimmed = run(recipe, f"{name}-trimmed", settings)
    whole = run(recipe, f"{name}-whole", settings | {"engine.trim_vocabulary": "false"})
    pairs = zip([trimmed / "best", *snapshots_of(trimmed)], [whole / "best", *snapshots_of(whole)], strict=True)
    for ours, theirs in pairs:
        found, expected = load_file(ours / "model.safetensors"), load_file(theirs / "model.safetensors")
        assert found.keys() == expected.keys()
        assert found[WORDS].shape[0] == VOCABULARY
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-5, msg=key)


def test_rows_that_nothing_reads_decay_alone(recipe: Path) -> None:
    start = weights_of(run(recipe, "no-decay", SETTINGS | {"optimizer.weight_decay": "0"}))
    end = weights_of(run(recipe, "decay", SETTINGS))
    unread = slice(USED, VOCABULARY - 1)  # the last is the mask token, which is kept
    ratio = end[WORDS][unread] / start[WORDS][unread]
    assert 0.7 < float(ratio.mean()) < 0.95
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-5, atol=0)


def test_a_resumed_run_saves_the_same_bytes(recipe: Path) -> None:
    plain = run(recipe, "straight", SETTINGS)
    with killed_at(5):
        run(recipe, "broken", SETTINGS)
    resumed = run(recipe, "broken", SETTINGS)
    assert (resumed / "best/model.safetensors").read_bytes() == (plain / "best/model.safetensors").read_bytes()


def test_a_checkpoint_of_another_table_is_refused(recipe: Path) -> None:
    with killed_at(5):
        run(recipe, "changed", SETTINGS)
    with pytest.raises(InputError, match=r"trimmed word table; go on with --engine\.trim_vocabulary=true"):
        run(recipe, "changed", SETTINGS | {"engine.trim_vocabulary": "false"})


def test_masked_language_modelling_keeps_all_words(recipe: Path) -> None:
    log = (run(recipe, "text", TEXT | {"model.dropout": "0"}) / "train.log").read_text(encoding="utf-8")
    assert "word embeddings:" not in log
    log = (run(recipe, "straight", SETTINGS) / "train.log").read_text(encoding="utf-8")
    assert f"word embeddings: {USED + 1} of {VOCABULARY} are read" in log


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_looks_words_up_in_the_trimmed_table(name: str) -> None:
    family = FAMILIES[name]
    config = family.random_config("tiny", 100, 32, pad_id=1)
    model = family.auto_class("AutoModelForSequenceClassification").from_config(config)
    whole = model.get_input_embeddings().weight.detach().clone()
    ids = np.array([0, 1, 2, 7, 50, 99])
    table = trim_vocabulary([model], ids)
    words = model.get_input_embeddings()
    assert isinstance(words, TrimmedEmbedding)
    assert torch.equal(words(torch.tensor([[7, 99]])), whole[[7, 99]][None])
    state = model.state_dict()
    assert table is not None
    assert state[table.key].shape[0] == len(ids)
    table.put_back(state, 1.0)
    assert torch.equal(state[table.key], whole)


def test_a_table_that_is_read_whole_is_left_as_it_is() -> None:
    family = FAMILIES["xlm-roberta"]
    model = family.auto_class("AutoModelForSequenceClassification").from_config(
        family.random_config("tiny", 20, 32, pad_id=1))
    assert trim_vocabulary([model], np.arange(20)) is None
