"""What makes the pseudo-languages languages: one-to-one lexicons, word order, endings, shared words."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.demo import languages as lg
from trainer.demo.world import WORDS, Sentence, document

SENTENCE = Sentence("old", "dog", "does", "watch", "certain", "boat", "nearby")


@pytest.mark.parametrize("seed", [0, 5])
def test_lexicons_are_one_to_one(seed: int) -> None:
    for language in lg.languages(seed):
        assert set(language.lexicon) == set(WORDS)
        assert len(set(language.lexicon.values())) == len(WORDS)


def test_no_invented_word_belongs_to_two_languages() -> None:
    taken = set(WORDS)
    for language in lg.languages(3)[1:]:
        invented = language.forms() - {language.word(word, slot) for word in language.anchors for slot in (0, 1, 5)}
        assert not invented & taken
        taken |= invented


def test_forms_are_the_words_of_rendered_sentences() -> None:
    rng = np.random.default_rng(0)
    sentences = [sentence for _ in range(3000) for sentence in document(rng)]
    for language in lg.languages(3):
        assert {word for sentence in sentences for word in language.render(sentence).split()} == language.forms()


def test_codes_run_from_near_to_far() -> None:
    assert [language.code for language in lg.languages(0)] == [
        "en", "d030", "d050", "d070", "d090", "d120", "ga", "gb", "gc"]
    assert all(language.code.isalnum() for language in lg.languages(0))


@pytest.mark.parametrize("grammar", lg.GRAMMARS, ids=lambda grammar: grammar.code)
def test_grammar_languages_share_the_stated_part_of_the_lexicon(grammar: lg.Grammar) -> None:
    language = lg.grammar_language(grammar, seed=1)
    shared = [word for word in WORDS if language.lexicon[word] == word]
    assert set(shared) == language.anchors
    assert len(shared) == round(grammar.anchor_share * len(WORDS))
    assert lg.grammar_language(grammar, seed=2).anchors != language.anchors


def test_distance_languages_keep_english_grammar() -> None:
    language = lg.distance_language(0.5)
    assert language.render(SENTENCE) == "old50 dog50 does50 watch50 certain50 boat50 nearby50"
    assert language.sigma == 0.5


def test_word_order_and_endings() -> None:
    words = {word: word.upper() for word in WORDS}
    far = lg.Language("x", words, lg.NOUN_FIRST_VERB_LAST, {1: "-a", 5: "-o"})
    assert far.render(SENTENCE) == "DOG-a OLD BOAT-o CERTAIN NEARBY DOES WATCH"
    assert lg.english().render(SENTENCE) == " ".join(SENTENCE)


@pytest.mark.parametrize("order", [lg.ENGLISH_ORDER, lg.NOUN_FIRST, lg.VERB_LAST, lg.NOUN_FIRST_VERB_LAST])
def test_every_order_says_every_slot_once(order: tuple[int, ...]) -> None:
    assert sorted(order) == list(range(7))


def test_code_mixing_keeps_english_order_and_mixes_the_stated_share() -> None:
    other = lg.distance_language(0.3)
    rng = np.random.default_rng(0)
    mixed = [lg.code_mixed(SENTENCE, other, 0.3, rng).split() for _ in range(500)]
    assert all([word.removesuffix("30") for word in sentence] == list(SENTENCE) for sentence in mixed)
    assert 0.26 < np.mean([word.endswith("30") for sentence in mixed for word in sentence]) < 0.34


def test_a_seed_fixes_the_languages() -> None:
    assert lg.languages(4) == lg.languages(4)
    assert lg.languages(4) != lg.languages(5)
