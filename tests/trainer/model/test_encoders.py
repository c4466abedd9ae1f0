"""What a family says of its architecture is what transformers' models of it have."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer.kinds import KINDS
from trainer.kinds.batch import Batch
from trainer.model.encoders import FAMILIES, Family

TRAINER = Path(__file__).parents[3] / "trainer"
# What betrays a use of the family outside its file.
NAMES = {
    "xlm-roberta": "roberta",
    "xlm-roberta-xl": "roberta",
    "bert": "bert.",
    "deberta-v2": "deberta",
    "modernbert": "modernbert",
    "eurobert": "eurobert",
    "gte": "gte.",
    "xlm": "lang_emb",
}

OUTPUTS = {"pair": 3, "mlm": 60, "span_qa": 2, "tagging": 3, "regression": 1, "ranking": 1, "multiple_choice": 1,
           "translation_ranking": 1}
"""Rows of the output layer: of three labels or tags, of the vocabulary, of start and end, of a score."""
TOKEN_LOGITS = {"span_qa"}
"""Kinds with logits for every token."""
families = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def model_of(family: Family, kind: str, size: str = "tiny", **settings: Any) -> Any:
    config = family.random_config(size, 60, 24, pad_id=1, **settings)
    with torch.device("meta"):
        auto_class: Any = family.auto_class(KINDS[kind].head)
        config.num_labels = KINDS[kind].outputs or config.num_labels
        return auto_class.from_config(config)


@families
@pytest.mark.parametrize("kind", KINDS)
def test_names_of_weights(family: Family, kind: str) -> None:
    model = model_of(family, kind, num_labels=KINDS[kind].outputs or 3)
    assert FAMILIES[model.config.model_type] is family
    assert family.prefix == f"{model.base_model_prefix}."
    names = dict(model.named_parameters(remove_duplicate=False))  # tied weights have two
    bounds = family.config_bounds.model_validate(model.config.to_dict())
    for name, shape in family.shapes(bounds).items():
        assert tuple(names[family.prefix + name].shape) == shape, name
    layers = {name.removeprefix(family.prefix + family.layers).split(".")[0] for name in names
              if name.startswith(family.prefix + family.layers)}
    assert layers == {str(number) for number in range(model.config.num_hidden_layers)}
    output = model.get_submodule(family.heads[KINDS[kind].head].output_layer)
    assert output.out_features == OUTPUTS[kind]


@families
@pytest.mark.parametrize("kind", KINDS)
def test_heads_give_logits(family: Family, kind: str) -> None:
    model = model_of(family, kind, num_labels=KINDS[kind].outputs or 3)
    hidden = torch.empty((5, 64) if kind in ("mlm", "tagging") else (5, 7, 64), device="meta")
    ids = torch.empty((5, 7), device="meta")
    batch = Batch(ids, ids, ids, ids, ids[:, 0])
    shape = (5, 7, OUTPUTS[kind]) if kind in TOKEN_LOGITS else (5, OUTPUTS[kind])
    assert family.heads[KINDS[kind].head].logits(model, hidden, batch).shape == shape


@families
def test_settings_are_those_of_the_configuration(family: Family) -> None:
    config = family.random_config("tiny", 60, 700, pad_id=1, **dict.fromkeys(family.dropout_settings, 0.3))
    assert family.max_length(config) == 700
    for name in (*family.identity, *family.dropout_settings):
        assert hasattr(config, name), name
    for setting in family.dropouts.values():
        rates = [getattr(module, name) for module in model_of(family, "pair", **{setting: 0.3}).modules()
                 for name in ("p", "dropout", "dropout_prob", "attention_dropout") if hasattr(module, name)]
        assert 0.3 in rates, setting
    assert set(family.config_bounds.model_fields) >= {*family.identity, *family.dropout_settings}


@families
def test_other_dropout_rates_count_by_their_difference(family: Family) -> None:
    classifier = KINDS["pair"].head
    own = family.heads[classifier].dropout
    rates = dict.fromkeys(family.dropout_settings, 0.2)
    config = family.random_config("tiny", 60, 24, pad_id=1, **rates)
    hidden, settings = family.describe(config, classifier)
    assert hidden == 0.2
    lower = family.random_config("tiny", 60, 24, pad_id=1, **dict.fromkeys(family.dropout_settings, 0.1))
    assert (0.1, settings) == family.describe(lower, classifier)
    assert own is None or settings["classifier"] is None
    for setting in set(family.dropout_settings) - {next(iter(family.dropouts.values()))}:
        other = family.random_config("tiny", 60, 24, pad_id=1, **rates | {setting: 0.5})
        assert (family.describe(other, classifier)[1] != settings), setting
        assert (family.describe(other, KINDS["mlm"].head)[1] == family.describe(config, KINDS["mlm"].head)[1]) \
            is (setting == own)


@families
def test_every_size_of_a_recipe(family: Family) -> None:
    assert {"tiny", "base"} <= family.sizes.keys()
    for size in family.sizes:
        family.config_bounds.model_validate(family.random_config(size, 60, 24, pad_id=1).to_dict())
    assert family.random_config("tiny", 60, 24, pad_id=1).hidden_size == 64


def test_no_other_file_names_a_family() -> None:
    """But in prose, and where the one dict lists them."""
    assert NAMES.keys() == FAMILIES.keys()
    for path in TRAINER.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        words = [node.value for node in ast.walk(tree)
                 if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose]
        words += [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        words += [alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
        found = [word for word in words for name in NAMES.values() if name in word.lower()]
        assert not found or path.parent.name == "encoders", f"{path}: {found}"
