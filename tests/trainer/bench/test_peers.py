"""`trainer bench peers`: the comparison computes the same update, and both sides have a line of every method."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification
from transformers.utils import is_accelerate_available

from data_prep.base.errors import InputError
from data_prep.shards.template import InputTemplate
from tests import oracle
from tests.random_cells import write_random_cell
from tests.trainer.small_runs import launcher_variables_kept
from trainer.bench.commands import bench_peers
from trainer.bench.hugging_face import MISSING, noise_step, pad_to_longest, pgd_step, rows_of
from trainer.bench.peers import operations, random_batches
from trainer.config import Recipe
from trainer.data.collate import collate
from trainer.kinds.tokens import Tokens

TOKENS = Tokens(InputTemplate(single="0 A 2", pair="0 A 2 2 B 2"), pad_id=1, mask_id=59, unk_id=3, vocab_size=60)


@pytest.mark.parametrize("steps", [1, 2])
def test_a_comparison_update_is_the_pgd_of_the_paper(steps: int) -> None:
    generator = np.random.default_rng(0)
    rows = [(generator.integers(4, 59, size), generator.integers(4, 59, 5)) for size in (3, 9, 6)]
    batch = replace(collate(rows, np.arange(3), TOKENS, 24), targets={"labels": torch.arange(3)})
    torch.manual_seed(0)
    model = XLMRobertaForSequenceClassification(XLMRobertaConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        type_vocab_size=1, max_position_embeddings=40, num_labels=3, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0))
    recipe = Recipe.model_validate({
        "model": {"random": "tiny"}, "data": {"train": ["none"]}, "schedule": {"max_steps": 1},
        "robust": {"method": "pgd", "ascent_steps": steps, "epsilon": 0.3, "relative": False}})

    oracle.METHODS["pgd"](oracle.Step(model, batch, recipe, 0.3, 0)).backward()
    expected = {name: weight.grad for name, weight in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    inputs = pad_to_longest(rows_of([batch]), TOKENS.pad_id)
    assert torch.equal(inputs["input_ids"], batch.input_ids)
    pgd_step(model, inputs, 0.3, lambda loss: loss.backward(), steps)

    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_noise_lies_in_the_ball_of_each_content_token() -> None:
    seen = []

    class Model(torch.nn.Module):
        config = XLMRobertaConfig(bos_token_id=0, pad_token_id=1, eos_token_id=2)
        device = torch.device("cpu")

        def __init__(self) -> None:
            super().__init__()
            self.words = torch.nn.Embedding(60, 4)

        def get_input_embeddings(self) -> torch.nn.Module:
            return self.words

        def forward(self, inputs_embeds: torch.Tensor, **_: torch.Tensor) -> object:
            seen.append(inputs_embeds.detach())
            return type("Output", (), {"loss": inputs_embeds.sum()})()

    model = Model()
    ids = torch.tensor([[0, 7, 8, 2, 1], [0, 9, 10, 11, 2]])
    noise_step(model, {"input_ids": ids, "attention_mask": ids, "labels": ids}, 0.3, lambda loss: loss.backward())
    sizes = (seen[0] - model.words(ids).detach()).norm(dim=-1)
    special = torch.isin(ids, torch.tensor([0, 1, 2]))
    assert bool((sizes[special] == 0).all())
    assert bool((sizes[~special] > 0).all())
    assert float(sizes.max()) <= 0.3 + 1e-6


def test_operations_are_those_of_the_matrix_products() -> None:
    config = XLMRobertaConfig(hidden_size=8, num_hidden_layers=3, intermediate_size=16)
    batch = random_batches(2, 1000, 1)[0][0]
    rows, length = batch.input_ids.shape
    projections, feed_forward, attention = 4 * 8 * 8, 2 * 8 * 16, 2 * 8 * length
    assert operations(config, [batch]) == rows * length * 3 * 2 * (projections + feed_forward + attention)


@pytest.mark.parametrize("rows", ["random", "cell"])
def test_both_sides_have_a_line(rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    cell = None
    if rows == "cell":
        write_random_cell(tmp_path, "xnli/train/en", 20)
        cell = str(tmp_path / "xnli/train/en")
    with launcher_variables_kept():
        assert bench_peers(cell=cell, steps=1, rounds=1, only="pgd K=1", vocabulary=2000, batch_size=4) == 0
    printed = capsys.readouterr().out
    assert re.search(r"pgd K=1 +│ trainer +│ [0-9.]+ ", printed), printed
    if is_accelerate_available():
        assert re.search(r"pgd K=1 +│ HF Trainer +│ [0-9.]+ +│ ours [0-9.]+x", printed), printed
    else:
        assert MISSING in printed


@pytest.mark.slow
def test_both_sides_are_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    with launcher_variables_kept():
        assert bench_peers(steps=1, rounds=1, only="plain", vocabulary=2000, batch_size=4, freeze=True,
                           compile=True) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "frozen word embeddings, compiled" in printed
    assert ("HF Trainer" in printed) == is_accelerate_available()


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="--size must be one of"):
        bench_peers(size="huge")
    with pytest.raises(InputError, match="lines: plain, random noise"):
        bench_peers(only="mixup")
