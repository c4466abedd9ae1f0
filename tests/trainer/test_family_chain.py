"""Every encoder family from its first training to the last command, and what depends on a family on the way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.nn import functional

from data_prep.shards.read import open_cell
from tests import oracle
from tests.encoder_sites import inputs_of, template_of
from tests.random_cells import LABELS, write_random_cell
from tests.trainer.small_runs import (
    PGD,
    TEXT,
    killed_at,
    launcher_variables_kept,
    metrics_of,
    run,
    weights_of,
    write_cells,
    write_recipe,
)
from trainer.checkpoint.export import export
from trainer.config import load_recipe
from trainer.data.loader import Examples
from trainer.diagnose.run import diagnose
from trainer.evaluate.run import evaluate
from trainer.kinds import Masking
from trainer.model.encoders import FAMILIES
from trainer.results.predictions import read_predictions

CHAINED = [name for name, family in FAMILIES.items()
           if {"AutoModelForMaskedLM", "AutoModelForSequenceClassification"} <= family.heads.keys()]
TYPED_FAMILY = "bert"
SHORT = {"schedule.max_steps": "2", "evaluation.every_steps": "2", "checkpoint.every_steps": "2"}
SMART = {"robust.method": "smart", "robust.bregman_weight": "1.0", "robust.bregman_momentum": "0.5"}


def prepared(root: Path, name: str) -> Path:
    """A recipe over cells for a family, which it does not name."""
    write_cells(root / "shards", template_of(name))
    return write_recipe(root, root / "shards")


def enlarge(weights: Path) -> None:
    """Make the matrices larger than those of a new model, which says the same to everything."""
    torch.manual_seed(0)
    save_file({key: weight + 0.3 * (weight.ndim > 1) * torch.randn_like(weight)
               for key, weight in load_file(weights).items()}, weights, metadata={"format": "pt"})


def assert_perplexity_as_by_transformers(run: Path, cell: Path) -> None:
    model = transformers.AutoModelForMaskedLM.from_pretrained(run / "best").eval()
    examples = Examples([open_cell(cell)], 24, masking=Masking(0.15, 0))
    batch = examples[0, np.arange(len(examples))]
    with torch.no_grad():
        logits = model(**inputs_of(model, batch)).logits
        loss = functional.cross_entropy(logits.transpose(1, 2), batch.targets["labels"])
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert record["selection"]["value"] == pytest.approx(float(loss.exp()), rel=1e-5)


@pytest.mark.parametrize("name", CHAINED)
def test_from_masked_words_to_an_exported_classifier(name: str, tmp_path: Path) -> None:
    recipe = prepared(tmp_path, name)
    for language in ("en", "de"):  # of the same rows, since translations have the same labels
        write_random_cell(tmp_path / "shards", f"xnli/test/{language}", 12, template=template_of(name))
    words = run(recipe, "words", TEXT | SHORT | {"model.family": name})
    assert_perplexity_as_by_transformers(words, tmp_path / "shards/text/dev/en")
    enlarge(words / "best" / "model.safetensors")
    pairs = run(recipe, "pairs", PGD | SHORT | {
        "init_from": str(words), "model.random": "null", "model.freeze_word_embeddings": "true",
        "robust.site": "layer:1", "robust.relative": "true", "robust.epsilon": "0.1"})
    with launcher_variables_kept():
        assert evaluate(str(pairs), tasks="xnli", generalized=True, batch_size=5) == 0
        assert diagnose(str(pairs), tasks="xnli") == 0
    assert export(str(pairs), out=str(tmp_path / "exported")) == 0

    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "exported").eval()
    (table,) = [key for key, weight in model.named_parameters() if weight is model.get_input_embeddings().weight]
    assert torch.equal(model.get_parameter(table), weights_of(words)[table]), "frozen, and from the first run"
    record = json.loads((pairs / "run.json").read_text(encoding="utf-8"))
    both = weights_of(words).keys() & weights_of(pairs).keys()  # transformers gives no output layer the same name
    assert record["weights_from"]["encoder_keys"] == len(both)
    assert both >= {key for key, weight in model.named_parameters() if "pooler" not in key
                    for part in model.base_model.parameters() if part is weight}
    examples = Examples([open_cell(tmp_path / "shards/xnli/test/de")], 24)
    with torch.no_grad():
        logits = torch.cat([model(**inputs_of(model, examples[0, np.array([row])])).logits for row in range(12)])
    expected = [LABELS[row] for row in logits.argmax(-1).tolist()]
    assert read_predictions(pairs / "eval/predictions/xnli/test-de.tsv") == expected


@pytest.mark.parametrize("name", ["modernbert"])
def test_a_run_that_dies_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    recipe = prepared(tmp_path, name)
    settings = SMART | {"model.family": name, "model.dropout": "0.1", "schedule.max_steps": "5"}
    whole = run(recipe, "whole", settings)
    with killed_at(4):
        run(recipe, "killed", settings)
    killed = run(recipe, "killed", settings)
    assert metrics_of(killed) == metrics_of(whole)
    expected = weights_of(whole)
    assert expected.keys() == weights_of(killed).keys()
    assert all(torch.equal(weight, expected[key]) for key, weight in weights_of(killed).items())


def test_partners_of_mixup_keep_their_token_types(tmp_path: Path) -> None:
    """At the embedding block, where the types count; the plain loop gives them to transformers."""
    recipe = prepared(tmp_path, TYPED_FAMILY)
    settings = {"model.family": TYPED_FAMILY, "model.dropout": "0", "robust.method": "mixup",
                "robust.site": "embeddings", "robust.mixing_alpha": "1.0", "optimizer.name": "sgd",
                "optimizer.lr": "0.5", "schedule.max_steps": "4"}
    expected, _ = oracle.train(load_recipe(str(recipe), settings))
    found = weights_of(run(recipe, "mixup", settings))
    for key, weight in found.items():
        torch.testing.assert_close(weight, expected[key], rtol=1e-5, atol=1e-6, msg=key)
