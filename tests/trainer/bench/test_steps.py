"""`trainer bench steps`: the comparison computes the same update, and an ascent takes no more memory than the update.

Nothing here looks at seconds.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification
from transformers.utils import is_accelerate_available

from data_prep.shards.template import InputTemplate
from tests import oracle
from tests.trainer.small_runs import launcher_variables_kept
from trainer.bench.commands import bench_steps
from trainer.bench.hugging_face import MISSING, pad_to_longest, pgd_step, rows_of
from trainer.bench.memory import ASCENT, BEFORE, UPDATE, peak_bytes
from trainer.config import Recipe
from trainer.data.collate import collate
from trainer.kinds.tokens import Tokens

MEGABYTE = 1_000_000
TOKENS = Tokens(InputTemplate(single="0 A 2", pair="0 A 2 2 B 2"), pad_id=1, mask_id=59, unk_id=3, vocab_size=60)


@pytest.mark.parametrize("steps", [0, 1, 2])
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
        "robust": {"method": "pgd", "ascent_steps": max(1, steps), "epsilon": 0.3, "relative": False}})

    oracle.METHODS["pgd" if steps else "plain"](oracle.Step(model, batch, recipe, 0.3, 0)).backward()
    expected = {name: weight.grad for name, weight in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    inputs = pad_to_longest(rows_of([batch]), TOKENS.pad_id)
    assert torch.equal(inputs["input_ids"], batch.input_ids)
    pgd_step(model, inputs, steps, 0.3, lambda loss: loss.backward())

    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_peak_bytes_are_counted_by_phase_and_released_ones_no_more() -> None:
    def megabytes(count: int) -> torch.Tensor:
        return torch.empty(count * MEGABYTE, dtype=torch.uint8)

    with peak_bytes(torch.device("cpu")) as (mark, peaks):
        kept = megabytes(1)
        mark(ASCENT)
        megabytes(4)
        megabytes(3)
        mark(UPDATE)
        both = (megabytes(2), megabytes(3))
    assert peaks == {BEFORE: MEGABYTE, ASCENT: 5 * MEGABYTE, UPDATE: 6 * MEGABYTE}
    assert kept.numel() + both[0].numel() + both[1].numel() == 6 * MEGABYTE


def test_lines_bounds_and_memory_of_one_ascent_step(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    with launcher_variables_kept():
        assert bench_steps(steps=1, rounds=1, only="K=1", vocabulary=2000) == 0
    printed = capsys.readouterr().out

    seconds, memory = printed.split("peak memory")
    for name, bound in (("pgd K=1, word embeddings", "1.83"), ("pgd K=1, layer:1", "1.47")):
        assert re.search(rf"{name} +│ [0-9.]+ +│ [0-9.]+ +│ {bound} ", seconds), printed
    assert "HF Trainer, pgd K=1" in seconds if is_accelerate_available() else MISSING in printed
    for name in ("pgd K=1, word embeddings", "pgd K=1, layer:1", "fgm K=1", "smart K=1", "trades K=1"):
        line = re.search(rf"{name} +│ ([0-9.]+) +│ ([0-9.]+) +│ [0-9.]+ +│ 1.00 ", memory)
        assert line, printed
        assert 0 < float(line[1]) <= float(line[2]), printed
