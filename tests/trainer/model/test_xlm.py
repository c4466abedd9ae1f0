"""XLM: languages end to end against transformers with `langs`, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, XLMModel

from data_prep.base.errors import InputError
from data_prep.base.files import first_error
from data_prep.shards.read import open_cell
from tests.encoder_sites import inputs_of
from tests.random_cells import LABELS, TOKENIZER, write_random_cell
from tests.trainer.small_runs import PGD, run, write_recipe
from trainer.data.collate import collate
from trainer.diagnose.run import diagnose
from trainer.evaluate.crossed import CrossedExamples
from trainer.evaluate.run import evaluate
from trainer.kinds.languages import language_number
from trainer.kinds.tokens import tokens_of
from trainer.model.encoders import FAMILIES
from trainer.results.predictions import read_predictions

RANDOM = {"model.family": "xlm", "model.dropout": "0.0"}
NONE_FOR_XX = r"xlm with language embeddings, but none for xx; it has ar, bg, de, el, en, .*, zh; leave"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards, a recipe, and the run `languages`, whose language embeddings are made large, to be heard."""
    root = tmp_path_factory.mktemp("xlm")
    for name, rows in (("xnli/train/en", 40), ("xnli/train/de", 40), ("xnli/dev/en", 20), ("xnli/dev/xx", 20),
                       ("xnli/test/en", 30), ("xnli/test/zh_Hans", 30), ("xnli/test/xx", 30), ("xnli/train/xx", 40)):
        write_random_cell(root / "shards", name, rows)
    trained = run(write_recipe(root, root / "shards"), "languages", {
        **RANDOM, **PGD, "data.train": "[xnli/train/en, xnli/train/de]", "optimizer.lr": "0.003"})
    file = trained / "best/model.safetensors"
    weights = load_file(file)
    weights["transformer.lang_embeddings.weight"].mul_(100)
    save_file(weights, file, {"format": "pt"})
    return root


def test_predictions_are_those_of_transformers_with_languages(root: Path) -> None:
    folder, codes = root / "runs/languages", ("en", "zh_Hans")
    assert evaluate(str(folder), tasks="xnli", languages=",".join(codes), generalized=True) == 0
    model = AutoModelForSequenceClassification.from_pretrained(folder / "best").eval()
    cells = {code: open_cell(root / f"shards/xnli/test/{code}").dataset for code in codes}
    unheard = 0
    for first, second in ((a, b) for a in codes for b in codes):
        predicted = []
        for a, b in zip(cells[first], cells[second], strict=True):
            texts = [0, *a["first_ids"]], [2, 2, *b["second_ids"], 2]
            ids = [model.config.lang2id[code.removesuffix("_Hans")] for code in (first, second)]
            langs = torch.tensor([[ids[0]] * len(texts[0]) + [ids[1]] * len(texts[1])])
            tokens = torch.tensor([texts[0] + texts[1]])
            with torch.no_grad():
                predicted.append(LABELS[int(model(tokens, langs=langs).logits.argmax())])
                unheard += predicted[-1] == LABELS[int(model(tokens).logits.argmax())]
        name = first if first == second else f"{first}-{second}"
        assert read_predictions(folder / f"eval/predictions/xnli/test-{name}.tsv") == predicted
    assert 10 < unheard < 110, "languages matter"


def test_first_and_second_texts_of_a_pair_of_languages(root: Path) -> None:
    batch = CrossedExamples(*(open_cell(root / f"shards/xnli/test/{code}") for code in ("en", "zh_Hans")), 24)[
        0, np.arange(30)]
    first, second = (language_number(code) for code in ("en", "zh"))
    assert batch.languages is not None
    for ids, languages in zip(batch.input_ids.tolist(), batch.languages.tolist(), strict=True):
        end, length = ids.index(2), len(ids) - ids.count(1)
        assert languages == [first] * end + [second] * (length - end) + [0] * (len(ids) - length)


def test_hidden_states_are_transformers_own_on_padding_too() -> None:
    """With languages in no order, in codes of two and three letters."""
    family, lang2id = FAMILIES["xlm"], {"zh": 0, "ceb": 1, "en": 2, "ast": 3, "zh_yue": 4}
    torch.manual_seed(0)
    model = XLMModel(family.random_config("tiny", 60, 24, pad_id=1, n_langs=5, lang2id=lang2id)).eval()
    torch.nn.init.normal_(model.lang_embeddings.weight)
    generator = np.random.default_rng(0)
    texts = [(generator.integers(4, 59, row), generator.integers(4, 59, 9 - row)) for row in range(2, 7)]
    codes = ["ceb", "zh", "en", "ast", "zh"]
    languages = np.array([[language_number(code), language_number(codes[-row])] for row, code in enumerate(codes)])
    batch = collate(texts, np.arange(5), tokens_of(TOKENIZER), 24, 20, languages)
    with torch.no_grad():
        expected = model(**inputs_of(model, batch), output_hidden_states=True).hidden_states
        x_BLH = family.embed(model, family.words(model, batch), batch)
        for layer in range(3):
            torch.testing.assert_close(x_BLH, expected[layer])
            x_BLH = family.run(model, x_BLH, batch, layer, min(layer + 1, 2))


@pytest.mark.parametrize("cells", [{"data.train": "[xnli/train/en, xnli/train/xx]"}, {"data.dev": "[xnli/dev/xx]"}])
def test_training_on_a_language_without_an_embedding_is_refused(root: Path, cells: dict[str, str]) -> None:
    with pytest.raises(InputError, match=NONE_FOR_XX):
        run(root / "small.yaml", "refused", {**RANDOM, **cells})
    assert not (root / "runs/refused").exists()


def test_evaluation_on_a_language_without_an_embedding_is_refused(root: Path) -> None:
    folder = root / "runs/languages"
    before = sorted(folder.rglob("*"))
    for command in (evaluate, diagnose):
        with pytest.raises(InputError, match=NONE_FOR_XX):
            command(str(folder), tasks="xnli", languages="en,xx")
    assert sorted(folder.rglob("*")) == before


def test_gradient_checkpointing_is_refused(root: Path) -> None:
    with pytest.raises(InputError, match="gradient_checkpointing: transformers has none for xlm; set it to f"):
        run(root / "small.yaml", "refused", {**RANDOM, "model.gradient_checkpointing": "true"})
    assert not (root / "runs/refused").exists()


@pytest.mark.parametrize(("change", "message"), [
    ({"causal": True}, "causal"), ({"asm": True}, "asm"), ({"is_encoder": False}, "is_encoder"),
    ({"sinusoidal_embeddings": True}, "sinusoidal_embeddings"), ({"summary_type": "mean"}, "summary_type"),
    ({"summary_type": "last"}, "summary_type"), ({"summary_use_proj": False}, "summary_use_proj"),
    ({"summary_proj_to_labels": False}, "summary_proj_to_labels"), ({"summary_activation": "relu"}, "summary_activ"),
    ({"summary_first_dropout": None}, "summary_first_dropout"),
    ({"emb_dim": 0}, "emb_dim"), ({"n_layers": 10**9}, "n_layers"), ({"n_heads": 0}, "n_heads"),
    ({"n_heads": 7}, "width 64, 7 heads"), ({"pad_token_id": 60}, "60 tokens, padding 60"),
    ({"hidden_size": 32}, "emb_dim 64 contradicts hidden_size 32"),
    ({"pad_index": 2}, "pad_token_id 1 contradicts pad_index 2"),
    ({"n_langs": 14}, "lang2id has ids up to 14, n_langs is 14"), ({"lang2id": {"en": -1}}, "lang2id.en"),
    ({"lang2id": {}}, "use_lang_emb with 15 languages, but no lang2id"),
    ({"lang2id": {"zh_classical": 0}}, "use_lang_emb with 15 languages, but no lang2id"),
], ids=str)
def test_configurations_that_are_refused(change: dict[str, Any], message: str) -> None:
    family = FAMILIES["xlm"]
    settings = family.random_config("tiny", 60, 24, pad_id=1).to_dict()
    family.config_bounds.model_validate(settings)
    with pytest.raises(pydantic.ValidationError) as caught:
        family.config_bounds.model_validate(settings | change)
    assert message in first_error(caught.value)


def test_other_names_of_settings_are_read() -> None:
    family = FAMILIES["xlm"]
    settings = family.random_config("tiny", 60, 24, pad_id=1).to_dict()
    renamed = {"emb_dim": "hidden_size", "n_layers": "num_hidden_layers", "n_heads": "num_attention_heads",
               "pad_token_id": "pad_index", "vocab_size": "n_words"}
    other = {renamed.get(name, name): value for name, value in settings.items()}
    assert family.config_bounds.model_validate(other) == family.config_bounds.model_validate(settings)
