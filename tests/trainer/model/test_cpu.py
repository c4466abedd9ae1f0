"""Dropout and attention for CPUs: torch's distribution, transformers' numbers, nothing left in what is saved."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tests.trainer.model.test_families import CLASSIFIER, FAMILIES, batch_of, new_model
from trainer.kernels import cpu
from trainer.kinds import KINDS
from trainer.model.cpu import FUSED_PRODUCTS, PLAIN_PRODUCTS, FusedDropout, fit_to_cpu, fused_dropout
from trainer.model.site import SiteModel

pytestmark = [
    pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU models stay as transformers builds them"),
    pytest.mark.skipif(cpu.why_not() is not None, reason=str(cpu.why_not()))]


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_elements_are_dropped_at_the_rate_and_independently(rate: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.ones(401, 1001, dtype=dtype, requires_grad=True)
    y = fused_dropout(x, rate)
    dropped = (y == 0).double()
    spread = (rate * (1 - rate) / x.numel()) ** 0.5
    assert abs(float(dropped.mean()) - rate) < 5 * spread
    for lag in (1, 2, 64, 128, 512):  # 64: two of one random number
        pairs = float(((dropped.flatten()[lag:] - rate) * (dropped.flatten()[:-lag] - rate)).mean())
        assert abs(pairs) < 5 * rate * (1 - rate) / x.numel() ** 0.5
    kept = y[y != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - rate)), rtol=1e-2 if dtype.itemsize == 2 else 2e-4,
                               atol=0)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


def test_masks_are_a_function_of_the_seed() -> None:
    x = torch.ones(7, 5)
    torch.manual_seed(3)
    first = fused_dropout(x, 0.5)
    other = fused_dropout(x, 0.5)
    torch.manual_seed(3)
    assert torch.equal(fused_dropout(x, 0.5), first)
    assert not torch.equal(other, first)


def test_the_module_drops_in_training_only() -> None:
    x = torch.ones(100)
    assert torch.equal(FusedDropout(0.5).eval()(x), x)
    assert torch.equal(FusedDropout(0.0)(x), x)
    assert 0 < int((FusedDropout(0.5)(x) == 0).sum()) < 100


def test_without_a_compiler_torch_drops_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "why_not", lambda: "no compiler")
    model = new_model("xlm-roberta", CLASSIFIER, torch.float32)
    fit_to_cpu(model, "fp32")
    assert model.config._attn_implementation == PLAIN_PRODUCTS
    assert any(type(module) is nn.Dropout for module in model.modules())
    batch = batch_of("xlm-roberta")
    site = SiteModel(model, KINDS["pair"], "word_embeddings").train()
    assert not torch.equal(site(batch), site(batch))


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_and_gradients_are_those_of_transformers_attention(name: str) -> None:
    model = new_model(name, CLASSIFIER)
    fitted = copy.deepcopy(model)
    fit_to_cpu(fitted, "bf16")
    batch = batch_of(name)
    sites = [SiteModel(one, KINDS["pair"], "word_embeddings").eval() for one in (model, fitted)]
    expected, found = (site(batch) for site in sites)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    for logits in (expected, found):
        logits.square().sum().backward()
    for (key, theirs), ours in zip(model.named_parameters(), fitted.parameters(), strict=True):
        if theirs.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-7, atol=1e-9, msg=key)


def test_without_dropout_fp32_keeps_the_fused_attention() -> None:
    rates = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    for settings, precision, expected in ((rates, "fp32", "sdpa"), (rates, "bf16", FUSED_PRODUCTS),
                                          ({}, "fp32", FUSED_PRODUCTS)):
        model = new_model("xlm-roberta", CLASSIFIER, torch.float32, **settings)
        fit_to_cpu(model, precision)
        assert model.config._attn_implementation == expected
        assert FUSED_PRODUCTS not in model.config.to_json_string()
        assert not any(type(module) is nn.Dropout for module in model.modules())
