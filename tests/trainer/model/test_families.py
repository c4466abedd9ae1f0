"""Every family and head, against transformers' own models: logits, input gradients, padding, export, checkpointing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers.models.eurobert import modeling_eurobert

from tests.encoder_sites import NOT_CHECKPOINTED, added, inputs_of, site_module, template_of
from trainer.data.collate import collate
from trainer.kinds import KINDS
from trainer.kinds.batch import Batch
from trainer.kinds.languages import language_number
from trainer.kinds.tokens import Tokens
from trainer.model.encoders import FAMILIES
from trainer.model.site import SiteModel

CLASSIFIER, MASKED = "AutoModelForSequenceClassification", "AutoModelForMaskedLM"
CHOICES = "AutoModelForMultipleChoice"
SITES = ["word_embeddings", "embeddings", "layer:1", "layer:2"]
VOCABULARY, LONGEST, PAD = 90, 40, 1
TOLERANCE = {torch.float64: {"rtol": 1e-10, "atol": 1e-10}, torch.float32: {"rtol": 1e-5, "atol": 1e-5}}

# Settings in which published models differ from the random ones, several at once.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("deberta-v2", {"relative_attention": False, "position_biased_input": True, "type_vocab_size": 2,
                    "pos_att_type": [], "norm_rel_ebd": "none", "hidden_act": "relu"}),
    ("deberta-v2", {"share_att_key": False, "pos_att_type": ["c2p"], "position_buckets": -1,
                    "max_relative_positions": 6, "norm_rel_ebd": "none", "legacy": False}),
    ("deberta-v2", {"share_att_key": False, "conv_kernel_size": 3, "conv_groups": 2, "conv_act": "gelu",
                    "pooler_hidden_act": "tanh", "max_relative_positions": 20}),
    ("modernbert", {"layer_types": ["sliding_attention"] * 2, "local_attention": 5, "classifier_pooling": "mean",
                    "norm_bias": True, "attention_bias": True, "mlp_bias": True, "classifier_bias": True,
                    "decoder_bias": False, "hidden_activation": "silu", "classifier_activation": "relu",
                    "local_rope_theta": 50.0}),
    ("modernbert", {"layer_types": ["sliding_attention", "full_attention"], "global_rope_theta": 20.0,
                    "tie_word_embeddings": False, "sparse_prediction": True}),
]

heads = pytest.mark.parametrize(("name", "head"), [
    (name, head) for name, family in FAMILIES.items() for head in family.heads])
families = pytest.mark.parametrize("name", FAMILIES)


def batch_of(name: str, rows: int = 6, pad_to: int | None = None) -> Batch:
    """Pairs and singles of very different lengths, padded on the right; every fifth token is a masked word.

    First texts are in German, second texts in Swahili.
    """
    generator = np.random.default_rng(0)
    texts = [(generator.integers(4, VOCABULARY - 1, 3 + 4 * row),
              generator.integers(4, VOCABULARY - 1, (0, 2, 9)[row % 3])) for row in range(rows)]
    tokens = Tokens(template_of(name), pad_id=PAD, mask_id=VOCABULARY - 1, unk_id=3, vocab_size=VOCABULARY)
    languages = np.tile([language_number(code) for code in ("de", "sw")], (rows, 1))
    batch = collate(texts, np.arange(rows), tokens, LONGEST, pad_to, languages)
    labels = torch.where(batch.content_mask & (torch.arange(batch.input_ids.shape[1]) % 5 == 2), batch.input_ids, -100)
    return replace(batch, targets={"labels": labels})


def new_model(name: str, head: str, dtype: torch.dtype = torch.float64, **settings: Any) -> Any:
    """A tiny model in evaluation mode, its weights larger than at the start of training, so that all of them count."""
    torch.manual_seed(0)
    labels = 2 if "Question" in head else 1 if head == CHOICES else 3
    config = FAMILIES[name].random_config("tiny", VOCABULARY, LONGEST, pad_id=PAD, num_labels=labels, **settings)
    model = FAMILIES[name].auto_class(head).from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.to(dtype).eval()


@cache
def model_of(name: str, head: str, dtype: torch.dtype = torch.float64) -> Any:
    """`new_model` of the random models' own settings; shared between tests."""
    return new_model(name, head, dtype)


def around(model: Any, head: str, site: str) -> SiteModel:
    """The product's model; heads without a kind of task yet get their logits for every token."""
    kind = replace(KINDS["mlm" if head == MASKED else "pair"], head=head)
    return SiteModel(model, kind, site).eval()


def ours(name: str, head: str, site: str, dtype: torch.dtype = torch.float64) -> SiteModel:
    """`around` the shared model."""
    return around(model_of(name, head, dtype), head, site)


def theirs(model: Any, head: str, batch: Batch) -> Tensor:
    """transformers' own logits."""
    inputs = inputs_of(model, batch)
    if type(model).__name__.endswith("ForMultipleChoice"):  # takes (G, C, L): here two examples of three choices
        return model(**{given: tensor.unflatten(0, (2, 3)) for given, tensor in inputs.items()}).logits.view(-1, 1)
    output = model(**inputs)
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    logits: Tensor = output.logits
    return logits[batch.targets["labels"] != -100] if head == MASKED else logits


def real(logits: Tensor, batch: Batch) -> Tensor:
    """Logits without those of padding, which mean nothing."""
    return logits[batch.attention_mask] if logits.shape[:2] == batch.input_ids.shape else logits


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["fp64", "fp32"])
@heads
def test_logits_equal_transformers(name: str, head: str, dtype: torch.dtype, site: str) -> None:
    batch, model = batch_of(name), ours(name, head, site, dtype)
    with torch.no_grad():
        logits, expected = model(batch), theirs(model.model, head, batch)
        torch.testing.assert_close(real(logits, batch), real(expected, batch), **TOLERANCE[dtype])
        x_BLH = model(batch, only_below=True)
        assert torch.equal(model(batch, None, x_BLH), logits)
    assert logits.std() > 0.001


@pytest.mark.parametrize("site", SITES)
@heads
def test_a_perturbation_enters_at_the_site(name: str, head: str, site: str) -> None:
    batch, model = batch_of(name), ours(name, head, site)
    delta = 0.1 * torch.randn(*batch.input_ids.shape, model.model.config.hidden_size, dtype=torch.float64)
    delta *= batch.attention_mask[..., None]
    with torch.no_grad():
        with added(site_module(model.model, site), delta):
            expected = theirs(model.model, head, batch)
        logits = model(batch, delta)
        torch.testing.assert_close(real(logits, batch), real(expected, batch), **TOLERANCE[torch.float64])
        assert (real(logits, batch) - real(model(batch), batch)).abs().max() > 1e-3


@pytest.mark.parametrize("head", [CLASSIFIER, MASKED])
@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_other_settings(name: str, settings: dict[str, Any], head: str) -> None:
    """Logits and input gradients equal transformers' with a perturbation at every site."""
    model = new_model(name, head, **settings)
    batch = batch_of(name)
    batch = replace(batch, token_types=(batch.token_types + batch.content_mask) % 2)
    delta = 0.1 * torch.randn(*batch.input_ids.shape, model.config.hidden_size, dtype=torch.float64)
    delta = (delta * batch.attention_mask[..., None]).requires_grad_(True)
    for site in SITES:
        with added(site_module(model, site), delta):
            expected = theirs(model, head, batch)
        logits = around(model, head, site)(batch, delta)
        torch.testing.assert_close(logits, expected, **TOLERANCE[torch.float64])
        found, right = (torch.autograd.grad(value.square().sum(), delta)[0] * batch.attention_mask[..., None]
                        for value in (logits, expected))
        torch.testing.assert_close(found, right, rtol=1e-8, atol=1e-8, msg=site)
        assert right.abs().max() > 1e-4


@pytest.fixture
def double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Softmax, rotary positions and RMSNorm in double precision, where transformers rounds to single whatever the
    model's precision: coarser than finite differences."""
    def norm(self: Any, x: Tensor) -> Tensor:
        scaled: Tensor = self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.variance_epsilon)
        return scaled

    monkeypatch.setattr(Tensor, "float", Tensor.double)
    monkeypatch.setattr(modeling_eurobert.EuroBertRMSNorm, "forward", norm)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("site", SITES)
@families
def test_input_gradients_equal_finite_differences(name: str, site: str) -> None:
    batch, model = batch_of(name, rows=3), ours(name, CLASSIFIER, site)
    start = 0.1 * torch.randn(*batch.input_ids.shape, model.model.config.hidden_size, dtype=torch.float64)
    weights = torch.randn(3, 3, dtype=torch.float64)

    def value(delta: Tensor) -> Tensor:
        return (weights * model(batch, delta)).sum()

    delta = start.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(value(delta), delta)
    with torch.no_grad():
        for direction in (gradient / gradient.norm(), torch.randn_like(start)):
            slope = (value(start + 1e-5 * direction) - value(start - 1e-5 * direction)) / 2e-5
            torch.testing.assert_close(slope, (gradient * direction).sum(), rtol=1e-6, atol=1e-8)


@pytest.mark.usefixtures("double_precision")
@heads
def test_padding_does_not_matter(name: str, head: str) -> None:
    batch, padded = batch_of(name), batch_of(name, pad_to=LONGEST)
    assert padded.input_ids.shape[1] > batch.input_ids.shape[1]
    model = ours(name, head, "embeddings")
    with torch.no_grad():
        expected, logits = model(batch), model(padded)
        torch.testing.assert_close(real(logits, padded), real(expected, batch), **TOLERANCE[torch.float64])
        padded.input_ids[~padded.attention_mask] = 7  # nothing of it is read
        torch.testing.assert_close(real(model(padded), padded), real(logits, padded), **TOLERANCE[torch.float64])


@families
def test_token_types_matter_where_there_are_any(name: str) -> None:
    batch, model = batch_of(name), ours(name, CLASSIFIER, "layer:1")
    types = FAMILIES[name].token_types(model.model.config)
    other = replace(batch, token_types=torch.zeros_like(batch.token_types))
    with torch.no_grad():
        assert torch.equal(model(batch), model(other)) == (types is None or types == 1)


@families
def test_languages_matter_where_there_are_embeddings_of_them(name: str) -> None:
    batch, model = batch_of(name), ours(name, CLASSIFIER, "layer:1")
    assert batch.languages is not None
    known = FAMILIES[name].languages(model.model.config)
    with torch.no_grad():
        expected = model(batch)
        for before, after in (("de", "fr"), ("sw", "fr")):
            changed = torch.where(batch.languages == language_number(before), language_number(after), batch.languages)
            rows = (model(replace(batch, languages=changed)) != expected).any(1)
            assert not rows.any() if known is None else torch.equal(rows, (changed != batch.languages).any(1))


@heads
def test_an_exported_model_reopens_with_the_same_logits(name: str, head: str, tmp_path: Path) -> None:
    batch, model = batch_of(name), model_of(name, head, torch.float32)
    model.save_pretrained(tmp_path)
    opened = FAMILIES[name].auto_class(head).from_pretrained(tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(opened, head, batch), theirs(model, head, batch), rtol=1e-6, atol=1e-6)


@families
def test_gradient_checkpointing_changes_no_gradient(name: str) -> None:
    batch, model = batch_of(name), ours(name, CLASSIFIER, "layer:1")
    if not model.model.supports_gradient_checkpointing:
        assert name in NOT_CHECKPOINTED
        return
    found = []
    for checkpointing in (False, True):
        if checkpointing:
            model.model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        calls: list[int] = []
        part = next(site_module(model.model, "layer:1").children())  # within what is recomputed
        hook = part.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        model.train()
        model.model.zero_grad()
        torch.manual_seed(0)
        model(batch).square().sum().backward()
        found.append({key: value.grad.clone() for key, value in model.model.named_parameters()
                      if value.grad is not None})
        hook.remove()
        assert len(calls) == 1 + checkpointing
        model.eval()
    model.model.activation_checkpointing_disable()
    model.model.zero_grad(set_to_none=True)
    assert found[0].keys() == found[1].keys()
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, msg=key)
    assert found[0].keys() == dict(model.model.named_parameters()).keys()
