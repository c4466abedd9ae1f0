"""Distance languages in a model folder: rows at the stated distance, nothing else touched, an ordinary model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from data_prep.base.errors import InputError
from data_prep.tokenizer import make_tokenizer
from trainer.demo.distance import Extension, extend
from trainer.demo.languages import GRAMMARS, SIGMAS, distance_language, grammar_language
from trainer.demo.neighbours import NEIGHBOUR_SIGMA, NEIGHBOURS
from trainer.demo.world import WORDS

LANGUAGES = [distance_language(sigma) for sigma in SIGMAS]


def save_model(folder: Path, words: Sequence[str] = WORDS) -> Path:
    """A tiny XLM-R with random weights and biases, whose tokens are `words` and a letter or two."""
    tokenizer = make_tokenizer([(f"\u2581{word}", -5.0) for word in words] + [("\u2581", -2.0), ("d", -3.0)])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    model = XLMRobertaForMaskedLM(XLMRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=40, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2))
    with torch.no_grad():
        model.lm_head.bias.normal_()
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "pretrained")


@pytest.fixture(scope="module")
def extended(source: Path) -> tuple[Path, Extension]:
    folder = source.parent / "extended"
    return folder, extend(source, folder, LANGUAGES, seed=3)


def embeddings(folder: Path) -> torch.Tensor:
    return AutoModel.from_pretrained(folder).get_input_embeddings().weight.detach()


def test_rows_lie_at_the_exact_distance(source: Path, extended: tuple[Path, Extension]) -> None:
    folder, report = extended
    before, after = AutoTokenizer.from_pretrained(source), AutoTokenizer.from_pretrained(folder)
    old, new = embeddings(source).double(), embeddings(folder).double()
    english = torch.stack([old[before.convert_tokens_to_ids(f"\u2581{word}")] for word in WORDS])
    mean_norm = english.norm(dim=1).mean()
    assert report.mean_norm == pytest.approx(float(mean_norm))
    assert report.tokens == len(WORDS) * len(SIGMAS)
    directions = []
    for language in LANGUAGES:
        ids = [after.convert_tokens_to_ids("\u2581" + language.lexicon[word]) for word in WORDS]
        away = new[ids] - english
        assert away.norm(dim=1).numpy() == pytest.approx((language.sigma or 0) * report.mean_norm, rel=1e-5)
        directions.append(away / away.norm(dim=1, keepdim=True))
    for other in directions[1:]:  # one ray per word: only the distance differs
        torch.testing.assert_close(directions[0], other, rtol=0, atol=1e-5)
    assert (directions[0] @ directions[0].T - torch.eye(len(WORDS))).abs().max() < 0.95


def test_neighbours_lie_near_in_directions_of_their_own(
    source: Path, extended: tuple[Path, Extension], tmp_path: Path
) -> None:
    without, report = extended
    both = tmp_path / "both"
    assert extend(source, both, LANGUAGES, 3, NEIGHBOURS) == Extension(report.tokens + 2 * len(WORDS), report.mean_norm)
    old, new = embeddings(without), embeddings(both)
    assert torch.equal(new[: len(old) - 1], old[:-1])  # the languages, to the last bit
    assert torch.equal(new[-1], old[-1])  # <mask>
    tokenizer = AutoTokenizer.from_pretrained(both)

    def away(words: Sequence[str]) -> torch.Tensor:
        ids, english = (tokenizer.convert_tokens_to_ids([f"\u2581{word}" for word in some]) for some in (words, WORDS))
        return new[ids].double() - new[english].double()

    rays = torch.nn.functional.normalize(away([LANGUAGES[-1].lexicon[word] for word in WORDS]), dim=1)
    one, two = (away([NEIGHBOURS[word][which] for word in WORDS]) for which in (0, 1))
    for rows in (one, two):
        assert rows.norm(dim=1).numpy() == pytest.approx(NEIGHBOUR_SIGMA * report.mean_norm, rel=1e-5)
        along = (torch.nn.functional.normalize(rows, dim=1) * rays).sum(1)
        assert along.abs().mean() < 0.3  # 0.2 for random directions of 16 dimensions; 1 on the ray
    assert torch.nn.functional.cosine_similarity(one, two).abs().mean() < 0.3


def test_what_was_there_is_unchanged(source: Path, extended: tuple[Path, Extension]) -> None:
    folder, _ = extended
    before, after = AutoTokenizer.from_pretrained(source), AutoTokenizer.from_pretrained(folder)
    old, new = AutoModelForMaskedLM.from_pretrained(source), AutoModelForMaskedLM.from_pretrained(folder)
    assert new.config.vocab_size == len(after) == len(before) + len(WORDS) * len(SIGMAS)
    assert after.mask_token_id == len(after) - 1
    assert new.lm_head.decoder.weight is new.get_input_embeddings().weight
    for token, old_id in before.get_vocab().items():
        new_id = after.get_vocab()[token]
        assert torch.equal(old.get_input_embeddings().weight[old_id], new.get_input_embeddings().weight[new_id])
        assert old.lm_head.bias[old_id] == new.lm_head.bias[new_id]
    text = "old dog does watch certain boat <mask>"
    ids, masked = before(text)["input_ids"], after(text)["input_ids"]
    assert ids[:-2] == masked[:-2]
    with torch.no_grad():
        one, two = old(torch.tensor([ids])).logits, new(torch.tensor([masked])).logits
    torch.testing.assert_close(one[..., : len(before) - 1], two[..., : len(before) - 1], rtol=0, atol=1e-6)


def test_every_new_word_is_one_token_and_comes_back(extended: tuple[Path, Extension]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(extended[0])
    for language in LANGUAGES:
        for word in WORDS:
            assert len(tokenizer(language.lexicon[word], add_special_tokens=False)["input_ids"]) == 1
        sentence = language.render(("old", "dog", "not", "watch", "certain", "boat", "nearby"))
        encoded = tokenizer(sentence, sentence)["input_ids"]
        assert len(encoded) == 7 + 7 + 4
        assert tokenizer.decode(encoded[1:8]) == sentence


def test_the_folder_is_an_ordinary_model(extended: tuple[Path, Extension], tmp_path: Path) -> None:
    model: Any = AutoModelForSequenceClassification.from_pretrained(extended[0], num_labels=3)
    tokenizer = AutoTokenizer.from_pretrained(extended[0])
    model.save_pretrained(tmp_path / "again")
    tokenizer.save_pretrained(tmp_path / "again")
    again = AutoTokenizer.from_pretrained(tmp_path / "again")
    text = "old30 dog120 does50"
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert model(**tokenizer(text, return_tensors="pt")).logits.shape == (1, 3)


def test_a_seed_fixes_the_directions(source: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        extend(source, tmp_path / name, LANGUAGES[:1], seed)
    a, b, c = (embeddings(tmp_path / name) for name in "abc")
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_bad_input_is_refused_before_anything_is_written(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match="has no distance"):
        extend(source, out, [grammar_language(GRAMMARS[0], 0)], 0)
    with pytest.raises(InputError, match="is missing"):
        extend(tmp_path / "nowhere", out, LANGUAGES, 0)
    with pytest.raises(InputError, match=r"not single tokens, e\.g\. 'dog'"):
        extend(save_model(tmp_path / "small", [word for word in WORDS if word != "dog"]), out, LANGUAGES, 0)
    with pytest.raises(InputError, match="is a token already"):
        extend(source, out, [LANGUAGES[0], LANGUAGES[0]], 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small"]
    with pytest.raises(InputError, match="exists already"):
        extend(source, tmp_path / "small", LANGUAGES, 0)
